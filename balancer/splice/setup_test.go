package splice

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

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
		whole := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
		t.Run("to a client that reads late", func(t *testing.T) {
			client, _ := setUp(t, e, func(task Task) {
				want(t, "write", task.Client().Write(whole, late()), nil)
			})
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, whole) {
				t.Errorf("read %d of %d bytes, %v", len(got), len(whole), err)
			}
		})
		t.Run("to a client that reads too late", func(t *testing.T) {
			tooLate := make(chan struct{})
			client, _ := setUp(t, e, func(task Task) {
				want(t, "write", task.Client().Write(whole, soon()), ErrTimeout)
				close(tooLate)
				want(t, "write of something else", task.Client().Write([]byte("end"), late()), nil)
			})
			await(t, "the time-out", tooLate)
			got, err := io.ReadAll(client)
			if n := len(got) - 3; err != nil || n < 0 || !bytes.Equal(got[:n], whole[:n]) || string(got[n:]) != "end" {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		})
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
				client, done := setUpWith(t, e, backend, func(task Task, server Conn) {
					tasks <- task
					want(t, "the wait that was cut", wait(task, server), ErrCut)
					for name, wait := range waits {
						want(t, name+" after the cut", wait(task, server), ErrCut)
					}
					_, err := task.Dial(addressOf(backend), netip.Addr{}, late())
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

func TestReadEither(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		step := make(chan struct{})
		client, done := setUpWith(t, e, backend, func(task Task, server Conn) {
			p := make([]byte, 16)
			_, _, err := task.ReadEither(server, p, soon())
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
		client, done := setUpWith(t, e, backend, func(task Task, server Conn) {
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
