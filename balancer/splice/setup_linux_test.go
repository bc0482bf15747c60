package splice

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
				client, done := setUpWith(t, e, backend, func(task Task, server Conn) {
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
		client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
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

// What a session writes first to its server is sent at once in any case; before it writes again it asks for no delay.
func TestNoDelayBeforeTheSecondWrite(t *testing.T) {
	for _, test := range []struct {
		name   string
		writes int // of the set-up
	}{{"both after the join", 0}, {"one before it", 1}, {"both before it", 2}} {
		t.Run(test.name, func(t *testing.T) {
			withLoop(t, Options{}, func(e *loops, l *loop) {
				r, backend, tasks := newRecord(), listenTCP(t), make(chan Task, 1)
				client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
					for range test.writes {
						want(t, "write", server.Write([]byte("x"), late()), nil)
					}
					task.Join(Joint{Server: server, Owner: r})
					tasks <- task
				})
				server, s := acceptTCP(t, backend), await(t, "the join", tasks).(*session)
				mustRead(t, server, strings.Repeat("x", test.writes))
				for written := test.writes; ; written++ {
					l.on(func() {
						value, err := unix.GetsockoptInt(int(s.halves[0].dst), unix.IPPROTO_TCP, unix.TCP_NODELAY)
						if err != nil || value != number(written > 1) {
							t.Errorf("after %d writes: TCP_NODELAY is %d, %v", written, value, err)
						}
					})
					if written > 1 {
						break
					}
					mustWrite(t, client, "x")
					mustRead(t, server, "x")
				}
				client.Close()
				server.Close()
				r.wait(t)
			})
		})
	}
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
		for _, spoil := range []func(task Task, server Conn) Conn{
			func(_ Task, server Conn) Conn { server.Close(); return server },
			func(task Task, server Conn) Conn { task.Client().Abort(); return server },
			func(_ Task, server Conn) Conn { return &conn{s: &session{}, open: true} }, // another session's
		} {
			client, done := setUpWith(t, e, backend, func(task Task, server Conn) {
				_, err := task.Client().Read(make([]byte, 1), late())
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
