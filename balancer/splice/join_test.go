package splice

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"
)

// What both sides sent, and that they finished, before the Join, is carried by the session.
func TestBytesAndEndsBeforeTheJoinAreKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, finish := range []bool{false, true} {
			backend := listenTCP(t)
			dialled, ready := make(chan struct{}), make(chan Task, 1)
			r := newRecord()
			client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
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
		client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
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

// A session that is cut while its set-up waits for nothing ends right after its Join.
func TestCutBeforeTheJoin(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil) // another one, that goes on
		backend := listenTCP(t)
		cut := newRecord()
		client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
			_, err := task.Client().Read(make([]byte, 1), late())
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
					client, _ := setUpWith(t, e, backend, func(task Task, server Conn) {
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
