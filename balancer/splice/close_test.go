package splice

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// Close ends all there is while clients come, bytes flow and set-ups wait; every owner is told.
func TestCloseWhileBusy(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			before := openFiles(t)
			e, err := New(Options{Kind: kind, Loops: 2, Pipes: 4})
			if err != nil {
				t.Fatal(err)
			}
			backend := listenTCP(t)
			var records sync.Map
			a := listenThrough(t, e, func(task Task) {
				server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
				if err != nil {
					return // cut
				}
				r := newRecord()
				records.Store(r, true)
				task.Join(Joint{Server: server, Owner: r})
			})
			var all sync.WaitGroup
			all.Go(func() { // a server that sends what it is sent
				for {
					c, err := backend.AcceptTCP()
					if err != nil {
						return
					}
					all.Go(func() { defer c.Close(); io.Copy(struct{ io.Writer }{c}, c) })
				}
			})
			enough, closed := make(chan struct{}, 1), make(chan struct{})
			for range 8 {
				all.Go(func() {
					for {
						select {
						case <-closed:
							return
						default:
						}
						c, err := net.Dial("tcp", a.Address().String())
						if err != nil {
							return
						}
						_ = c.SetDeadline(time.Now().Add(hang))
						go io.Copy(c, io.LimitReader(endless{}, 1<<20))
						if n, _ := io.CopyN(io.Discard, c, 1<<20); n == 1<<20 {
							select {
							case enough <- struct{}{}:
							default:
							}
						}
						c.Close()
					}
				})
			}
			await(t, "the first session to end", enough)
			e.Close()
			if n := sessions(e); n != 0 {
				t.Errorf("%d sessions are left", n)
			}
			records.Range(func(r, _ any) bool {
				select {
				case <-r.(*record).ended:
				default:
					t.Error("an owner was not told of the end")
				}
				return true
			})
			close(closed)
			a.Close()
			backend.Close()
			all.Wait()
			eventually(t, "descriptors to be freed", func() bool { return openFiles(t) <= before })
		})
	}
}

// Calls from outside may come at any moment of a session's end, and after it.
func TestCallsDuringTheEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for i := range 50 {
			r := connectThrough(t, e, nil)
			mustWrite(t, r.client, "x")
			mustRead(t, r.server, "x")
			var calls sync.WaitGroup
			for _, call := range []func(){
				func() { r.task.Wake() },
				func() { r.task.Keepalive(Keepalive{Idle: time.Minute}) },
				func() { r.task.Keepalive(Keepalive{}) },
				func() { r.client.Close() },
				func() { reset(r.server) },
				func() {
					if i%2 == 0 {
						r.task.Cut(Killed)
					}
				},
			} {
				calls.Go(call)
			}
			calls.Wait()
			if end, _, _ := r.record.wait(t); end == Unfinished {
				t.Error("the owner was told that the session had not ended")
			}
			r.task.Cut(Drained)
			r.task.Keepalive(Keepalive{})
			r.task.Wake()
		}
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
