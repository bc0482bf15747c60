package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/upgrade"
)

// lingering is the rest of the life of a process that has been replaced.
type lingering struct {
	*Daemon
	heir *upgrade.Heir
	// main is the process that serves now: the heir, or one that has replaced that in turn.
	main atomic.Int64
	// stays is set for process 1 of a container, whose end would be that of all: it stays as the parent of the others.
	stays bool
	heard chan struct{} // closed when nobody listens to the line any more
	asked atomic.Bool   // to end
	// over is closed when the process has ended that serves, and how tells how. It is nil for one that does not stay.
	over chan struct{}
	how  error
}

// linger lets the sessions of a process that has been replaced end, and returns when none is left, or the time for that is
// over. As process 1 it returns when the process has ended that serves; the error is then how that was.
func (d *Daemon) linger(signals <-chan os.Signal, heir *upgrade.Heir) error {
	l := &lingering{Daemon: d, heir: heir, stays: os.Getpid() == 1}
	l.main.Store(int64(heir.PID))
	var talking sync.WaitGroup
	stop := make(chan struct{})
	talking.Go(func() { reportCounts(heir.Line, d.balancer.Counts, stop) })
	l.hear()
	if l.stays {
		l.over = make(chan struct{})
		go func() {
			defer close(l.over)
			l.how = l.await()
		}()
	}
	l.finish(signals)
	close(stop)
	talking.Wait()
	var err error
	if l.stays {
		d.log.Info("no sessions are left: this process stays as the parent of the one that serves", "pid", l.main.Load())
		err = l.standIn(signals)
	}
	heir.Line.Close()
	<-l.heard
	d.Close()
	return err
}

// finish lets the sessions finish. When the process that serves crashes below process 1 of a container, they can't: the end of
// that one is what has the container started anew.
func (l *lingering) finish(signals <-chan os.Signal) {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	over := make(chan struct{})
	go func() {
		defer close(over)
		l.balancer.Finish(ctx, l.file().Shutdown.Drain)
	}()
	serving := l.over
	for {
		select {
		case <-over:
			return
		case <-serving:
			if serving = nil; l.how != nil {
				l.log.Error("the process that serves has crashed: this one ends as well, and cuts its sessions", "error", l.how,
					"sessions", l.balancer.Sessions())
				cut()
			}
		case r := <-l.upgrading.requests:
			l.refuse(r, fmt.Sprintf("process %d has taken over: ask that one", l.main.Load()))
		case s := <-signals:
			switch {
			case s == syscall.SIGTERM || s == os.Interrupt:
				again := l.asked.Swap(true)
				l.log.Info("told to end while sessions from before the upgrade finish", "signal", s.String(), "again", again)
				if again {
					cut()
				}
			case !l.stays:
				l.log.Warn("a signal for the process that has taken over", "signal", s.String(), "pid", l.main.Load())
			}
			l.passOn(s)
		}
	}
}

// hear begins to do what the processes that have taken over say, until the line is closed or paused.
func (l *lingering) hear() {
	heard := make(chan struct{})
	l.heard = heard
	go func() {
		defer close(heard)
		var err error
		for err == nil {
			err = l.listen()
		}
		if !upgrade.Gone(err) {
			return
		}
		l.told.abandoned()
		if !l.stays {
			l.log.Warn("the process that has taken over has ended: no clients are served until fairlead is started again",
				"pid", l.main.Load(), "sessions", l.balancer.Sessions())
		}
	}()
}

// hearAll returns when all has been heard that was said up to now.
func (l *lingering) hearAll() {
	l.heir.Pause()
	<-l.heard
	l.heir.Unpause()
	for l.heir.Unread() && l.listen() == nil {
	}
	l.hear()
}

// listen takes one message.
func (l *lingering) listen() error {
	m, _, err := l.heir.Receive(time.Time{})
	switch {
	case err != nil:
		return err
	case m.Kind == upgrade.Orders:
		l.balancer.Reorder(m.Orders)
	case m.Kind == upgrade.Adopted:
		l.main.Store(int64(m.PID))
	case m.Kind == upgrade.Reopen:
		l.reopenLog()
	}
	return nil
}

// passOn gives a signal to the process that serves, if this one is who gets it in a container.
func (l *lingering) passOn(s os.Signal) {
	if number, ok := s.(syscall.Signal); ok && l.stays {
		_ = syscall.Kill(int(l.main.Load()), number) // it may have ended
	}
}

// standIn waits until the process has ended that serves, and passes on signals meanwhile. Others that end are children of
// this one as well, as process 1 adopts those whose parent has gone.
func (l *lingering) standIn(signals <-chan os.Signal) error {
	for {
		select {
		case <-l.over:
			return l.how
		case s := <-signals:
			if s == syscall.SIGTERM || s == os.Interrupt {
				l.asked.Store(true)
			}
			l.passOn(s)
		}
	}
}

// await returns when the process that serves has ended, and tells how. One that has been replaced has said so before its end.
func (l *lingering) await() error {
	<-l.heir.Exited()
	status, _ := l.heir.Status().Sys().(syscall.WaitStatus)
	for pid := l.heir.PID; ; {
		l.hearAll()
		if pid == int(l.main.Load()) {
			return ended(status)
		}
		var next unix.WaitStatus
		n, err := unix.Wait4(-1, &next, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD) && l.asked.Load():
			return nil // it has ended in order, and another one that was replaced has taken its status
		case err != nil:
			return fmt.Errorf("daemon: wait for process %d: %w", l.main.Load(), err)
		default:
			pid, status = n, syscall.WaitStatus(next)
		}
	}
}

// ExitError is how the process ended that served in place of this one.
type ExitError struct {
	// Code is its exit status, or 128 and the number of the signal that killed it.
	Code int
}

// Error says so.
func (e *ExitError) Error() string {
	return fmt.Sprintf("daemon: the process that served has ended with exit status %d", e.Code)
}

func ended(s syscall.WaitStatus) error {
	code := s.ExitStatus()
	if s.Signaled() {
		code = 128 + int(s.Signal())
	}
	if code == 0 {
		return nil
	}
	return &ExitError{code}
}
