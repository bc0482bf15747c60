package splice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// setUp runs one session's set-up, and waits at the test's end until it has returned. A set-up reports by t.Errorf: it
// must not end its goroutine, which may be a loop's.
func setUp(t *testing.T, e Engine, setup Setup) (client *net.TCPConn, done <-chan struct{}) {
	t.Helper()
	returned := make(chan struct{})
	a := listenThrough(t, e, func(task Task) {
		defer close(returned)
		setup(task)
	})
	client = dialTCP(t, a.Address())
	t.Cleanup(func() { client.Close(); await(t, "the set-up's return", returned) })
	return client, returned
}

func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(hang):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }
func late() time.Time { return time.Now().Add(hang) }

// want reports an error that is not the one expected.
func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// readAll reads what a set-up is sent until an error.
func readAll(c Conn) (text string, err error) {
	for p := make([]byte, 3); ; {
		n, err := c.Read(p, late())
		if err != nil {
			return text, err
		}
		text += string(p[:n])
	}
}

func TestSetupReadsUntilTheEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		client, done := setUp(t, e, func(task Task) {
			_, err := task.Client().Read(make([]byte, 1), soon())
			want(t, "read of a silent client", err, ErrTimeout)
			want(t, "write", task.Client().Write([]byte("go on"), late()), nil)
			text, err := readAll(task.Client())
			want(t, "read after the end", err, io.EOF)
			if text != "hello, world" {
				t.Errorf("read %q", text)
			}
			_, err = task.Client().Read(make([]byte, 1), late())
			want(t, "second read after the end", err, io.EOF)
			want(t, "write to a client that has finished", task.Client().Write([]byte("bye"), late()), nil)
		})
		mustRead(t, client, "go on")
		mustWrite(t, client, "hello, ")
		mustWrite(t, client, "world")
		_ = client.CloseWrite()
		mustRead(t, client, "bye")
		wantEOF(t, client)
		await(t, "the set-up's return", done)
	})
}

func TestSetupSeesAReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		client, done := setUp(t, e, func(task Task) {
			text, err := readAll(task.Client())
			want(t, "read", err, syscall.ECONNRESET)
			if text != "last words" {
				t.Errorf("read %q before the reset", text)
			}
			err = task.Client().Write([]byte("hello?"), late())
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write after a reset: got %v", err)
			}
		})
		mustWrite(t, client, "last words")
		reset(client)
		await(t, "the set-up's return", done)
	})
}

func TestSetupWritesMoreThanTheSocketsHold(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		whole := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
		client, _ := setUp(t, e, func(task Task) {
			want(t, "write to a client that does not read", task.Client().Write(whole, soon()), ErrTimeout)
			want(t, "write of the rest", task.Client().Write([]byte("end"), late()), nil)
		})
		var first [1]byte
		if _, err := client.Read(first[:]); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client)
		if n := len(got) - 3; err != nil || n < 0 || !bytes.Equal(got[:n], whole[1:n+1]) || string(got[n:]) != "end" {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		client, _ = setUp(t, e, func(task Task) {
			want(t, "write to a client that reads late", task.Client().Write(whole, late()), nil)
		})
		if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("read %d of %d bytes, %v", len(got), len(whole), err)
		}
	})
}

// pending asks again until the engine has heard of what is there.
func pending(task Task, c Conn) bool {
	for !c.Pending() {
		if task.Park(time.Now().Add(time.Millisecond)) == ErrCut {
			return false
		}
	}
	return true
}

func TestPending(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		client, done := setUp(t, e, func(task Task) {
			c := task.Client()
			want(t, "park", task.Park(soon()), ErrTimeout)
			if c.Pending() {
				t.Error("a silent client has sent something")
			}
			want(t, "write", c.Write([]byte("go"), late()), nil)
			if !pending(task, c) {
				t.Error("what the client sent is not there")
			}
			text := make([]byte, 5) // all of it, and no more
			if n, err := c.Read(text, late()); n != 5 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			if c.Pending() {
				t.Error("there is something after all was read")
			}
			want(t, "write", c.Write([]byte("go"), late()), nil)
			if !pending(task, c) {
				t.Error("the client's end is not there")
			}
			c.Close()
			if c.Pending() {
				t.Error("a closed connection has something")
			}
		})
		mustRead(t, client, "go")
		mustWrite(t, client, "hello")
		mustRead(t, client, "go")
		_ = client.CloseWrite()
		await(t, "the set-up's return", done)
	})
}

// To ask whether there is something takes nothing away, a reset least of all: a read must not find a clean end after it.
func TestPendingLeavesAReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		client, done := setUp(t, e, func(task Task) {
			_, err := task.Client().Read(make([]byte, 1), late())
			want(t, "read", err, nil)
			want(t, "write", task.Client().Write([]byte("go"), late()), nil)
			if !pending(task, task.Client()) || !task.Client().Pending() {
				t.Error("the reset is not there")
			}
			_, err = task.Client().Read(make([]byte, 1), late())
			want(t, "read after the reset", err, syscall.ECONNRESET)
		})
		mustWrite(t, client, "x")
		mustRead(t, client, "go")
		reset(client)
		await(t, "the set-up's return", done)
	})
}

func TestDialRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		nobody := listenTCP(t)
		nobody.Close()
		_, done := setUp(t, e, func(task Task) {
			_, err := task.Dial(addressOf(nobody), netip.Addr{}, late())
			want(t, "dial", err, syscall.ECONNREFUSED)
		})
		await(t, "the set-up's return", done)
	})
}

// A session whose first server won't do goes to another one, and leaves nothing behind at the first.
func TestRedispatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, leave := range []struct {
			name string
			by   func(Conn)
			sees func(*testing.T, *net.TCPConn)
		}{
			{"close", Conn.Close, wantEOF},
			{"abort", Conn.Abort, wantReset},
			{"forget", func(Conn) {}, wantEOF},
		} {
			t.Run(leave.name, func(t *testing.T) {
				backends := [2]*net.TCPListener{listenTCP(t), listenTCP(t)}
				r := newRecord()
				client, _ := setUp(t, e, func(task Task) {
					first, err := task.Dial(addressOf(backends[0]), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					leave.by(first)
					leave.by(first) // once more is no harm
					second, err := task.Dial(addressOf(backends[1]), netip.Addr{}, late())
					if err != nil {
						t.Errorf("second dial: %v", err)
						return
					}
					task.Join(Joint{Server: second, Owner: r})
				})
				leave.sees(t, acceptTCP(t, backends[0]))
				server := acceptTCP(t, backends[1])
				mustWrite(t, client, "hello")
				mustRead(t, server, "hello")
				client.Close()
				server.Close()
				r.wait(t)
			})
		}
	})
}

func TestAddresses(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		type addresses struct{ remote, local, serverRemote, serverLocal netip.AddrPort }
		seen := make(chan addresses, 1)
		client, _ := setUp(t, e, func(task Task) {
			// as resolvers give IPv4 addresses
			mapped := netip.AddrPortFrom(netip.AddrFrom16(addressOf(backend).Addr().As16()), addressOf(backend).Port())
			server, err := task.Dial(mapped, netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			seen <- addresses{task.Client().Remote(), task.Client().Local(), server.Remote(), server.Local()}
		})
		server := acceptTCP(t, backend)
		address := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
		expected := addresses{address(client.LocalAddr()), address(client.RemoteAddr()),
			address(server.LocalAddr()), address(server.RemoteAddr())}
		if got := await(t, "the addresses", seen); got != expected {
			t.Errorf("got %v, want %v", got, expected)
		}
	})
}

func TestParkAndWake(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		parked := make(chan Task, 1)
		_, done := setUp(t, e, func(task Task) {
			want(t, "park without a wake", task.Park(soon()), ErrTimeout)
			task.Wake()
			want(t, "park after a wake", task.Park(late()), nil)
			parked <- task
			want(t, "park until another goroutine wakes", task.Park(late()), nil)
			parked <- task
			want(t, "park until another session wakes", task.Park(time.Time{}), nil)
			want(t, "park again", task.Park(soon()), ErrTimeout)
		})
		task := await(t, "the first park", parked)
		task.Wake()
		task = await(t, "the second park", parked)
		_, other := setUp(t, e, func(Task) { task.Wake() })
		await(t, "the other set-up's return", other)
		await(t, "the set-up's return", done)
		task.Wake() // of no effect any more
	})
}

// Whatever a set-up waits for, a cut ends that wait and each one after it. What needs no waiting still works.
func TestCutEndsEveryWait(t *testing.T) {
	waits := map[string]func(task Task, server Conn) error{
		"read of the client": func(task Task, _ Conn) error {
			_, err := task.Client().Read(make([]byte, 1), time.Time{})
			return err
		},
		"read of the server": func(_ Task, server Conn) error {
			_, err := server.Read(make([]byte, 1), time.Time{})
			return err
		},
		"read of either": func(task Task, server Conn) error {
			_, _, err := task.ReadEither(server, make([]byte, 1), time.Time{})
			return err
		},
		"write": func(_ Task, server Conn) error { return server.Write(make([]byte, 64<<20), time.Time{}) },
		"park":  func(task Task, _ Conn) error { return task.Park(time.Time{}) },
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		for name, wait := range waits {
			t.Run(name, func(t *testing.T) {
				backend := listenTCP(t)
				tasks := make(chan Task, 1)
				client, done := setUp(t, e, func(task Task) {
					server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					tasks <- task
					want(t, "the wait that was cut", wait(task, server), ErrCut)
					for name, wait := range waits {
						want(t, name+" after the cut", wait(task, server), ErrCut)
					}
					_, err = task.Dial(addressOf(backend), netip.Addr{}, late())
					want(t, "dial after the cut", err, ErrCut)
					want(t, "farewell", task.Client().Write([]byte("bye"), late()), nil)
				})
				await(t, "the wait", tasks).Cut(Killed)
				mustRead(t, client, "bye")
				await(t, "the set-up's return", done)
			})
		}
	})
}

// A session that is cut while its set-up waits for nothing ends right after its Join.
func TestCutBeforeTheJoin(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil) // another one, that goes on
		backend := listenTCP(t)
		cut := newRecord()
		client, _ := setUp(t, e, func(task Task) {
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			_, err = task.Client().Read(make([]byte, 1), late())
			want(t, "read", err, nil)
			task.Cut(BackendDown)
			want(t, "park", task.Park(late()), ErrCut)
			task.Join(Joint{Server: server, Owner: cut})
		})
		mustWrite(t, client, "x")
		if end, _, _ := cut.wait(t); end != BackendDown {
			t.Errorf("the session ended by %v", end)
		}
		wantReset(t, client)
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
	})
}

func TestSetupWithoutJoinLeavesNothingOpen(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		client, done := setUp(t, e, func(task Task) {
			for range 3 {
				if _, err := task.Dial(addressOf(backend), netip.Addr{}, late()); err != nil {
					t.Errorf("dial: %v", err)
				}
			}
		})
		await(t, "the set-up's return", done)
		wantEOF(t, client)
		for range 3 {
			wantEOF(t, acceptTCP(t, backend))
		}
		eventually(t, "no session to be left", func() bool { return sessions(e) == 0 })
	})
}

func sessions(e Engine) (all int) {
	for _, n := range e.Sessions() {
		all += n
	}
	return all
}

// A set-up that panics costs its own session, before and after its Join.
func TestPanicInASetup(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			var told atomic.Int32
			o := Options{Kind: kind, Loops: 1, Panicked: func(value any, stack []byte) {
				if value != "oops" || !bytes.Contains(stack, []byte("TestPanicInASetup")) {
					t.Errorf("told of %v, with a stack of %d bytes", value, len(stack))
				}
				told.Add(1)
			}}
			withEngine(t, o, func(e Engine) {
				r := connectThrough(t, e, nil)
				backend := listenTCP(t)
				for _, join := range []bool{false, true} {
					client, _ := setUp(t, e, func(task Task) {
						server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
						if err != nil {
							t.Errorf("dial: %v", err)
							return
						}
						if join {
							task.Join(Joint{Server: server, Owner: newRecord()})
						}
						panic("oops")
					})
					wantEOF(t, client)
					wantEOF(t, acceptTCP(t, backend))
				}
				if n := told.Load(); n != 2 {
					t.Errorf("told of %d panics, want 2", n)
				}
				mustWrite(t, r.client, "x")
				mustRead(t, r.server, "x")
			})
		})
	}
}

// What both sides sent, and that they finished, before the Join, is carried by the session.
func TestBytesAndEndsBeforeTheJoinAreKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, finish := range []bool{false, true} {
			backend := listenTCP(t)
			dialled, ready := make(chan struct{}), make(chan Task, 1)
			r := newRecord()
			client, _ := setUp(t, e, func(task Task) {
				server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
				if err != nil {
					t.Errorf("dial: %v", err)
					return
				}
				close(dialled)
				ready <- task
				want(t, "park", task.Park(late()), nil)
				for _, c := range []Conn{task.Client(), server} { // some is read, and some is not
					if n, err := c.Read(make([]byte, 2), late()); n != 2 || err != nil {
						t.Errorf("read %d bytes, %v", n, err)
					}
				}
				task.Join(Joint{Server: server, Owner: r})
			})
			server := acceptTCP(t, backend)
			await(t, "the dial", dialled)
			mustWrite(t, client, "> question")
			mustWrite(t, server, "< answer")
			if finish {
				_ = client.CloseWrite()
				_ = server.CloseWrite()
			}
			await(t, "the park", ready).Wake()
			mustRead(t, server, "question")
			mustRead(t, client, "answer")
			if !finish {
				_ = client.CloseWrite()
				_ = server.CloseWrite()
			}
			wantEOF(t, server)
			wantEOF(t, client)
			if _, up, down := r.wait(t); up != 8 || down != 6 {
				t.Errorf("%d bytes up, %d down; want 8 and 6", up, down)
			}
		}
	})
}

// A server that finishes, and is reset before the Join, will take nothing more from the client: the session is over.
func TestResetBeforeTheJoin(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		ready := make(chan Task, 1)
		r := newRecord()
		client, _ := setUp(t, e, func(task Task) {
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			ready <- task
			want(t, "park", task.Park(late()), nil)
			task.Join(Joint{Server: server, Owner: r})
		})
		task := await(t, "the park", ready)
		server := acceptTCP(t, backend)
		mustWrite(t, server, "last words")
		_ = server.CloseWrite()
		reset(server)
		task.Wake()
		if end, _, down := r.wait(t); end != ServerReset || down != 10 {
			t.Errorf("the session ended by %v after %d bytes", end, down)
		}
		mustRead(t, client, "last words")
		wantEOF(t, client)
	})
}

func TestReadEither(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		step := make(chan struct{})
		client, done := setUp(t, e, func(task Task) {
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			p := make([]byte, 16)
			_, _, err = task.ReadEither(server, p, soon())
			want(t, "read of two silent sides", err, ErrTimeout)
			for _, side := range []struct {
				conn Conn
				text string
			}{{task.Client(), "from the client"}, {server, "from the server"}} {
				want(t, "write", side.conn.Write([]byte("go on"), late()), nil)
				from, n, err := task.ReadEither(server, p, late())
				if from != side.conn || string(p[:n]) != side.text || err != nil {
					t.Errorf("got %q, %v; want %q", p[:n], err, side.text)
				}
			}
			close(step)
			from, _, err := task.ReadEither(server, p, late())
			if from != task.Client() || err != io.EOF {
				t.Errorf("got %v, want the client's end", err)
			}
		})
		server := acceptTCP(t, backend)
		mustRead(t, client, "go on")
		mustWrite(t, client, "from the client")
		mustRead(t, server, "go on")
		mustWrite(t, server, "from the server")
		await(t, "what both said", step)
		_ = client.CloseWrite()
		await(t, "the set-up's return", done)
	})
}

// Of two sides that speak at the same time, ReadEither takes one's bytes and leaves the other's.
func TestReadEitherLosesNothing(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		const rounds = 200
		backend := listenTCP(t)
		client, done := setUp(t, e, func(task Task) {
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			p := make([]byte, 16)
			for range rounds {
				got := map[Conn]int{}
				for got[server] < 1 || got[task.Client()] < 2 {
					from, n, err := task.ReadEither(server, p, late())
					if err != nil {
						t.Errorf("read: %v", err)
						return
					}
					got[from] += n
				}
				want(t, "write", server.Write([]byte("s"), late()), nil)
				want(t, "write", task.Client().Write([]byte("c"), late()), nil)
			}
		})
		server := acceptTCP(t, backend)
		for range rounds {
			mustWrite(t, client, "12")
			mustWrite(t, server, "3")
			mustRead(t, client, "c")
			mustRead(t, server, "s")
		}
		await(t, "the set-up's return", done)
	})
}

// Close ends set-ups too, whatever they wait for, and those that have closed their client among them.
func TestCloseEndsSetups(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			e, err := New(Options{Kind: kind, Loops: 2})
			if err != nil {
				t.Fatal(err)
			}
			const each = 20
			ended := make(chan error, 3*each)
			waits := []func(Task) error{
				func(task Task) error { return task.Park(time.Time{}) },
				func(task Task) error { task.Client().Close(); return task.Park(late()) },
				func(task Task) error { _, err := task.Client().Read(make([]byte, 1), late()); return err },
			}
			for _, wait := range waits {
				a := listenThrough(t, e, func(task Task) { ended <- wait(task) })
				for range each {
					dialTCP(t, a.Address())
				}
			}
			eventually(t, "all set-ups to wait", func() bool { return sessions(e) == 3*each })
			e.Close()
			for range 3 * each {
				want(t, "wait", await(t, "a set-up's return", ended), ErrCut)
			}
		})
	}
}
