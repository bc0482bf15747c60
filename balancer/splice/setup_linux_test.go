package splice

import (
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deaf is the address of a listener whose queue is full: the kernel drops what else would connect.
func deaf(t *testing.T) netip.AddrPort {
	t.Helper()
	open := func() int32 {
		fd, errno := newSocket(netip.MustParseAddrPort("127.0.0.1:0"))
		if errno != 0 {
			t.Fatal(errno)
		}
		t.Cleanup(func() { closeFD(fd) })
		return fd
	}
	listener := open()
	if errno := bind(listener, netip.MustParseAddrPort("127.0.0.1:0")); errno != 0 {
		t.Fatal(errno)
	}
	if errno := startListening(listener, 0); errno != 0 {
		t.Fatal(errno)
	}
	to := localAddress(listener)
	for range 4 { // a queue of 0 takes one, and a kernel may be generous
		connect(open(), to)
	}
	return to
}

func TestDialTimesOut(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		to := deaf(t)
		_, done := setUp(t, e, func(task Task) {
			_, err := task.Dial(to, netip.Addr{}, soon())
			want(t, "dial", err, ErrTimeout)
			_, err = task.Dial(to, netip.Addr{}, soon())
			want(t, "second dial", err, ErrTimeout)
		})
		await(t, "the set-up's return", done)
	})
}

// A server that does not even answer the SYN is not connected when the wait for its words is over.
func TestDialSpeakerOfADeafServer(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		to := deaf(t)
		_, done := setUp(t, e, func(task Task) {
			c, err := task.(*session).dial(to, netip.Addr{}, clientEvents)
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			_, err = c.Read(make([]byte, 1), soon())
			want(t, "read", err, ErrTimeout)
			if took, ok := c.Connected(); ok {
				t.Errorf("connected within %v", took)
			}
		})
		await(t, "the set-up's return", done)
	})
}

func TestCutEndsADial(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		to := deaf(t)
		tasks := make(chan Task, 1)
		_, done := setUp(t, e, func(task Task) {
			tasks <- task
			_, err := task.Dial(to, netip.Addr{}, time.Time{})
			want(t, "dial", err, ErrCut)
		})
		await(t, "the dial", tasks).Cut(Killed)
		await(t, "the set-up's return", done)
	})
}

func TestDialFromASourceAddress(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		_, done := setUp(t, e, func(task Task) {
			source := netip.MustParseAddr("127.0.0.9")
			server, err := task.Dial(addressOf(backend), source, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			if got := server.Local().Addr(); got != source {
				t.Errorf("the connection comes from %v", got)
			}
			_, err = task.Dial(addressOf(backend), netip.MustParseAddr("192.0.2.1"), late()) // TEST-NET-1, RFC 5737
			want(t, "dial from an address that is not local", err, syscall.EADDRNOTAVAIL)
		})
		await(t, "the set-up's return", done)
	})
}

// After a short read there may still be an end to read, if both came together: no other event will tell of it.
func TestEndThatCameWithTheLastBytes(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		for _, end := range []struct {
			by   func(*net.TCPConn)
			sees error
		}{{func(c *net.TCPConn) { _ = c.CloseWrite() }, io.EOF}, {reset, syscall.ECONNRESET}} {
			waiting := make(chan struct{})
			client, done := setUp(t, e, func(task Task) {
				close(waiting)
				p := make([]byte, 16)
				if n, err := task.Client().Read(p, late()); string(p[:n]) != "last words" || err != nil {
					t.Errorf("read %q, %v", p[:n], err)
				}
				_, err := task.Client().Read(p, late())
				want(t, "read", err, end.sees)
			})
			await(t, "the read", waiting)
			release := l.hold()
			mustWrite(t, client, "last words")
			end.by(client)
			release()
			await(t, "the set-up's return", done)
		}
	})
}

// What a server says before it breaks the connection is heard, even if both come before the loop has looked.
func TestServerThatSpeaksAndBreaks(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		backend := listenTCP(t)
		tasks := make(chan Task, 1)
		_, done := setUp(t, e, func(task Task) {
			tasks <- task
			want(t, "park", task.Park(late()), nil)
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			text, err := readAll(server)
			want(t, "read", err, syscall.ECONNRESET)
			if text != "too many connections" {
				t.Errorf("read %q", text)
			}
		})
		task := await(t, "the park", tasks)
		release := l.hold()
		task.Wake()
		l.post(func() { // right after the dial
			server, err := backend.AcceptTCP()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = server.Write([]byte("too many connections"))
			reset(server)
		})
		release()
		await(t, "the set-up's return", done)
	})
}

// A connect to a port of this host on which nobody listens may choose that very port for its own end (RFC 9293, 3.5,
// simultaneous open).
func TestConnectThatMeetsItself(t *testing.T) {
	any := netip.MustParseAddrPort("127.0.0.1:0")
	fd, errno := newSocket(any)
	if errno != 0 {
		t.Fatal(errno)
	}
	defer closeFD(fd)
	if errno := bind(fd, any); errno != 0 {
		t.Fatal(errno)
	}
	own := localAddress(fd)
	if own.Port() < 32768 {
		t.Skipf("the kernel chooses ports such as %d", own.Port())
	}
	if errno := connect(fd, own); errno != 0 && errno != unix.EINPROGRESS {
		t.Fatal(errno)
	}
	if !meetsItself(fd, own) {
		t.Error("a connection of a socket with itself is not found out")
	}
	other := dialTCP(t, addressOf(listenTCP(t)))
	look(other, func(fd int) {
		if meetsItself(int32(fd), other.RemoteAddr().(*net.TCPAddr).AddrPort()) {
			t.Error("a connection of two sockets is taken for one with itself")
		}
	})
}

// With WatchClient on, a client that closes ends every wait for something else, whether it closes before or during it.
func TestWatchClient(t *testing.T) {
	to := deaf(t)
	waits := map[string]func(task Task, server Conn) error{
		"park": func(task Task, _ Conn) error { return task.Park(time.Time{}) },
		"dial": func(task Task, _ Conn) error {
			_, err := task.Dial(to, netip.Addr{}, time.Time{})
			return err
		},
		"read": func(_ Task, server Conn) error {
			_, err := server.Read(make([]byte, 1), time.Time{})
			return err
		},
		"write": func(_ Task, server Conn) error { return server.Write(make([]byte, 64<<20), time.Time{}) },
	}
	withLoop(t, Options{}, func(e *loops, l *loop) {
		for name, wait := range waits {
			t.Run(name, func(t *testing.T) {
				backend := listenTCP(t)
				waiting := make(chan struct{})
				client, done := setUp(t, e, func(task Task) {
					server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					task.WatchClient(true)
					close(waiting)
					want(t, "wait during which the client closed", wait(task, server), ErrClientGone)
					want(t, "wait after the client closed", wait(task, server), ErrClientGone)
					task.WatchClient(false)
					want(t, "park that does not mind", task.Park(soon()), ErrTimeout)
					text, _ := readAll(task.Client())
					if text != "unread" {
						t.Errorf("what the client had sent is %q", text)
					}
				})
				await(t, "the wait", waiting)
				mustWrite(t, client, "unread")
				_ = client.CloseWrite()
				await(t, "the set-up's return", done)
			})
		}
	})
}

// A reset ends every wait for something else, watched or not: there is nobody left to set up a session for.
func TestClientResetDuringASetup(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		waiting := make(chan struct{})
		client, done := setUp(t, e, func(task Task) {
			close(waiting)
			want(t, "park", task.Park(time.Time{}), ErrClientGone)
		})
		await(t, "the wait", waiting)
		reset(client)
		await(t, "the set-up's return", done)
	})
}

// A Keepalive that is asked for while the set-up still waits takes the place of the Joint's.
func TestKeepaliveBeforeTheJoin(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		r := newRecord()
		tasks := make(chan Task, 1)
		client, _ := setUp(t, e, func(task Task) {
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			tasks <- task
			want(t, "park", task.Park(late()), nil)
			task.Join(Joint{Server: server, Owner: r, Keepalive: &Keepalive{Idle: time.Hour}})
		})
		task := await(t, "the park", tasks)
		task.Keepalive(Keepalive{Idle: 7 * time.Second})
		task.Wake()
		server := acceptTCP(t, backend)
		mustWrite(t, client, "x")
		mustRead(t, server, "x")
		if idle := keepaliveOf(t, task); idle != 7 {
			t.Errorf("the server is watched over after %d seconds of silence, want 7", idle)
		}
		client.Close()
		server.Close()
		r.wait(t)
	})
}

// keepaliveOf is the time, in seconds, after which the kernel probes a joined session's server.
func keepaliveOf(t *testing.T, task Task) (idle int) {
	t.Helper()
	get := func(fd int) { idle, _ = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE) }
	switch s := task.(type) {
	case *session:
		s.loop.on(func() {
			s.loop.publish = s.loop.now // it waits for that, to spare short sessions the calls
			s.loop.report()
			get(int(s.halves[client].dst))
		})
	case *link:
		s.mu.Lock()
		defer s.mu.Unlock()
		look(s.mu.server, get)
	}
	return idle
}

// A Join of what is not the session's to join costs that session alone.
func TestJoinOfAClosedConnection(t *testing.T) {
	panics := make(chan any, 3)
	o := Options{Panicked: func(value any, _ []byte) { panics <- value }}
	withLoop(t, o, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		backend := listenTCP(t)
		var foreign Conn
		for _, spoil := range []func(task Task, server Conn) Conn{
			func(_ Task, server Conn) Conn { foreign = server; server.Close(); return server },
			func(task Task, server Conn) Conn { task.Client().Abort(); return server },
			func(_ Task, server Conn) Conn { return foreign },
		} {
			client, done := setUp(t, e, func(task Task) {
				server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				_, err = task.Client().Read(make([]byte, 1), late())
				want(t, "read", err, nil)
				task.Join(Joint{Server: spoil(task, server), Owner: newRecord()})
			})
			mustWrite(t, client, "x")
			await(t, "the set-up's return", done)
			await(t, "the panic", panics)
		}
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
	})
}

// The stacks of a burst of set-ups are given back: only a few coroutines are kept for the next.
func TestCoroutinesAreTrimmed(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		const burst = 3 * spareCoroutines
		tasks := make(chan Task, burst)
		a := listenThrough(t, e, func(task Task) { tasks <- task; _ = task.Park(time.Time{}) })
		for range burst {
			dialTCP(t, a.Address())
		}
		for range burst {
			await(t, "a set-up", tasks).Wake()
		}
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
		const burst = spareCoroutines
		tasks := make(chan Task, burst)
		a := listenThrough(t, e, func(task Task) { tasks <- task; _ = task.Park(time.Time{}) })
		for range burst {
			dialTCP(t, a.Address())
		}
		for range burst {
			await(t, "a set-up", tasks).Wake()
		}
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
