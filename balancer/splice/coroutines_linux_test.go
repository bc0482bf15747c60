package splice

import (
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
)

// setUpAtOnce has n set-ups begin, and then return.
func setUpAtOnce(t *testing.T, e Engine, n int) {
	t.Helper()
	tasks := make(chan Task, n)
	a := listenThrough(t, e, func(task Task) { tasks <- task; _ = task.Park(time.Time{}) })
	for range n {
		dialTCP(t, a.Address())
	}
	for range n {
		await(t, "a set-up", tasks).Wake()
	}
}

// The stacks of a burst of set-ups are given back: only a few coroutines are kept for the next.
func TestCoroutinesAreTrimmed(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		setUpAtOnce(t, e, 3*spareCoroutines)
		eventually(t, "all set-ups to return", func() bool { return sessions(e) == 0 })
		l.on(func() {
			if n := len(l.idle); n > spareCoroutines {
				t.Errorf("%d coroutines are kept after a burst, want %d at most", n, spareCoroutines)
			}
			l.dismissUnused()
			l.dismissUnused() // a report later, and nobody needed one
			if n := len(l.idle); n != fewCoroutines {
				t.Errorf("%d coroutines are kept for longer, want %d", n, fewCoroutines)
			}
		})
	})
}

// They are given back also when nothing else happens on the loop after the burst.
func TestCoroutinesAreTrimmedInSilence(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, _ *loop) {
		before := runtime.NumGoroutine()
		setUpAtOnce(t, e, spareCoroutines)
		eventually(t, "the coroutines to go", func() bool { return runtime.NumGoroutine() <= before+fewCoroutines })
	})
}

// Logins in which nobody speaks yet hold no thread of the operating system.
func TestReadEitherHoldsNoThread(t *testing.T) {
	e, err := New(Options{Kind: "goroutines"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	const burst = 200
	backend := listenTCP(t)
	waiting := make(chan struct{}, burst)
	a := listenThrough(t, e, func(task Task) {
		server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		waiting <- struct{}{}
		_, _, err = task.ReadEither(server, make([]byte, 1), time.Time{})
		want(t, "read", err, ErrCut)
	})
	for range burst {
		dialTCP(t, a.Address())
		acceptTCP(t, backend)
	}
	for range burst {
		await(t, "a set-up", waiting)
	}
	if n := threads(t); n > burst/2 {
		t.Errorf("%d threads for %d logins", n, burst)
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}
