package splice

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withoutDescriptors lowers the process's limit so that no descriptor is to be had any more, until restore is called.
func withoutDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	restore = sync.OnceFunc(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(restore)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: usual.Max}); err != nil {
		t.Fatal(err)
	}
	return restore
}

// When descriptors run out, accepting pauses and says so once, the sessions that exist go on, and whoever has waited in the
// kernel's queue comes in as soon as there are descriptors again.
func TestDescriptorsRunOut(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil)
		told, begun := make(chan error, 10), make(chan struct{}, 10)
		o := ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0"), calm: time.Nanosecond,
			Trouble: func(err error) { told <- err }}
		a, err := e.Listen(o, func(task Task) { begun <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		var clients []int32 // made while there are descriptors
		for range 5 {
			fd, errno := newSocket(a.Address())
			if errno != 0 {
				t.Fatal(errno)
			}
			defer closeFD(fd)
			clients = append(clients, fd)
		}
		restore := withoutDescriptors(t)
		for _, fd := range clients {
			if errno := connect(fd, a.Address()); errno != 0 && errno != unix.EINPROGRESS {
				t.Fatal(errno)
			}
		}
		want(t, "what was told", await(t, "the trouble", told), syscall.EMFILE)
		mustWrite(t, r.client, "still here")
		mustRead(t, r.server, "still here")
		restore()
		for range clients {
			await(t, "a set-up", begun)
		}
		want(t, "what was told in the end", await(t, "the end of the trouble", told), nil)
		if len(told) > 0 {
			t.Errorf("told once more: %v", <-told)
		}
	})
}

func TestDialWithoutDescriptors(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		tasks := make(chan Task, 1)
		_, done := setUp(t, e, func(task Task) {
			tasks <- task
			want(t, "park", task.Park(late()), nil)
			_, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			want(t, "dial", err, syscall.EMFILE)
			tasks <- task
			want(t, "park", task.Park(late()), nil)
			_, err = task.Dial(addressOf(backend), netip.Addr{}, late())
			want(t, "dial", err, nil)
		})
		task := await(t, "the park", tasks)
		restore := withoutDescriptors(t)
		task.Wake()
		task = await(t, "the dial", tasks)
		restore()
		task.Wake()
		await(t, "the set-up's return", done)
	})
}

// A door that can't be opened, or behind which accepting fails for good, is tried again and again, but not at once.
func TestDoorPauses(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		deaf, errno := newSocket(netip.MustParseAddrPort("127.0.0.1:0")) // does not listen
		if errno != 0 {
			t.Fatal(errno)
		}
		defer closeFD(deaf)
		var told error
		o := ListenOptions{Trouble: func(err error) { told = err }}
		l.on(func() {
			d := &door{acceptor: &acceptor{fd: -1, trouble: newTrouble(o)}}
			if l.openDoor(d); !d.paused || !errors.Is(told, unix.EBADF) {
				t.Errorf("paused %v, told %v", d.paused, told)
			}
			d = &door{acceptor: &acceptor{fd: deaf, trouble: newTrouble(o)}}
			if l.openDoor(d); d.paused {
				t.Error("paused at once")
			}
			for _, pause := range []time.Duration{10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
				if l.acceptOne(d) || !d.paused || d.retry != l.now+int64(pause*time.Millisecond) {
					t.Errorf("paused %v, until %v from now; want %d ms", d.paused, time.Duration(d.retry-l.now), pause)
				}
			}
			if !errors.Is(told, unix.EINVAL) {
				t.Errorf("told %v", told)
			}
		})
	})
}
