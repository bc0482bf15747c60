package fakefe

import (
	"context"
	"time"
)

// Leaving says how a graceful leave runs. Zero fields mean what StarRocks does.
type Leaving struct {
	// Min is the shortest time to the end (min_graceful_exit_time_second), 15 s when 0.
	Min time.Duration
	// Max is when the FE ends although sessions are left (max_graceful_exit_time_second), 60 s when 0.
	Max time.Duration
	// Every is how often idle connections are looked for, Idle how long they must have been so: 1 s when 0.
	Every, Idle time.Duration
}

func (l Leaving) withDefaults() Leaving {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&l.Min, 15 * time.Second}, {&l.Max, 60 * time.Second}, {&l.Every, time.Second}, {&l.Idle, time.Second}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// leave is a graceful leave under way.
type leave struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the FE is gone, or the leave was called off
	over   chan struct{} // closed when run has returned
}

// Leave makes the FE leave as stop_fe.sh -g does (StarRocks) or SIGTERM (Doris): from now on /api/health says so, while MySQL greets
// and serves on. Every second connections are closed that are idle for longer than one; when no session is left and Min
// is over, or Max is, everything is closed and the FE is gone, until Restore. The channel is closed then, or when
// Set, Restore or Stop call the leave off. On a stopped FE the channel is closed at once.
func (fe *FE) Leave(how Leaving) <-chan struct{} {
	fe.operations.Lock()
	defer fe.operations.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	l := &leave{cancel: cancel, done: make(chan struct{}), over: make(chan struct{})}
	if err := fe.set(leavingGracefully); err != nil {
		cancel()
		close(l.done)
		return l.done
	}
	fe.leaving = l
	fe.work.Add(1)
	go fe.runLeave(ctx, how.withDefaults(), l)
	return l.done
}

// endLeave calls off the leave under way, if any, and waits until it has stopped. fe.operations is held.
func (fe *FE) endLeave() {
	if fe.leaving == nil {
		return
	}
	fe.leaving.cancel()
	<-fe.leaving.over
	fe.leaving = nil
}

func (fe *FE) runLeave(ctx context.Context, how Leaving, l *leave) {
	defer fe.work.Done()
	defer close(l.done)
	defer close(l.over)
	defer l.cancel()
	started := time.Now()
	ticker := time.NewTicker(how.Every)
	defer ticker.Stop()
	for {
		left := fe.closeIdle(how.Idle)
		spent := time.Since(started)
		if left == 0 && spent >= how.Min || spent >= how.Max {
			fe.vanish()
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// closeIdle closes connections that have been idle for longer than that, and returns how many sessions are left.
func (fe *FE) closeIdle(longer time.Duration) int {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	left := 0
	for _, s := range fe.mu.sessions {
		switch {
		case s.state == Idle && time.Since(s.since) > longer:
			s.cut(false)
		case s.state == Idle || s.state == Busy:
			left++
		}
	}
	return left
}

// vanish ends the process that the FE plays. It is called by the leave's goroutine, which whoever holds fe.operations
// may be waiting for: the listeners are this goroutine's as long as the leave runs.
func (fe *FE) vanish() {
	fe.mu.Lock()
	fe.changeFault(gone)
	fe.cutAll(false)
	fe.mu.Unlock()
	fe.close()
	fe.emit(Event{Kind: Left})
}
