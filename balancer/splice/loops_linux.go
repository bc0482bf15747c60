package splice

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

const loopsSupported = true

// loops is the engine of event loops.
type loops struct {
	loops    []*loop
	running  sync.WaitGroup
	epoch    time.Time
	panicked func(any, []byte)
}

func newLoops(o Options) (Engine, error) {
	leaveRoom(o.Loops)
	e := &loops{epoch: time.Now(), panicked: o.Panicked}
	for range o.Loops {
		l, err := newLoop(e, o)
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("splice: event loop: %w", err)
		}
		e.loops = append(e.loops, l)
		e.running.Add(1)
		go l.run()
	}
	return e, nil
}

// leaveRoom sees to it that the scheduler has a processor more than there are loops: a loop keeps its own also while it
// waits for a moment, and probes, logs and scrapes are not to wait with it.
func leaveRoom(loops int) {
	if runtime.GOMAXPROCS(0) <= loops {
		runtime.GOMAXPROCS(loops + 1)
	}
}

// clock is the engine's time, in nanoseconds since it started; it never goes back.
func (e *loops) clock() int64 { return int64(time.Since(e.epoch)) }

// rushed is how many sessions a second widen the margin of lightest by one.
const rushed = 256

// arrivals counts what a loop accepts.
type arrivals struct {
	perSecond int32 // in the second before the present one
	count     int32 // in the present one
	since     int64 // its beginning
}

func (a *arrivals) note(now int64) {
	switch passed := now - a.since; {
	case passed >= int64(2*time.Second):
		*a = arrivals{since: now}
	case passed >= int64(time.Second):
		*a = arrivals{since: a.since + int64(time.Second), perSecond: a.count}
	}
	a.count++
}

func (e *loops) Sessions() []int {
	counts := make([]int, len(e.loops))
	for i, l := range e.loops {
		counts[i] = int(l.sessions.Load())
	}
	return counts
}

func (e *loops) Close() {
	for _, l := range e.loops {
		l.post(l.stop)
	}
	e.running.Wait()
}

// onEach runs f on every loop that has not ended, and waits for them.
func (e *loops) onEach(f func(*loop)) {
	var all sync.WaitGroup
	for _, l := range e.loops {
		all.Add(1)
		if !l.post(func() { defer all.Done(); f(l) }) {
			all.Done()
		}
	}
	all.Wait()
}

// lightest is the loop that takes the next session: the one that accepted it, unless another one has so much less
// to carry that the hand-over pays. The margin keeps all loops within a few percent of each other, and hand-overs rare
// where sessions are short: where thousands come each second, a difference of a dozen is chance, and gone in a moment.
func (e *loops) lightest(own *loop) *loop {
	best, fewest := own, own.sessions.Load()
	fewest -= 2 + fewest/32 + own.arrivals.perSecond/rushed
	for _, l := range e.loops {
		if n := l.sessions.Load(); l != own && n < fewest {
			best, fewest = l, n
		}
	}
	return best
}
