package splice

import (
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
)

// Close takes what the kernel has queued, and starts nothing after it has returned.
func TestCloseOfAnAcceptorTakesTheQueue(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		const queued = 50
		listener := listenTCP(t)
		for range queued {
			dialTCP(t, addressOf(listener))
		}
		file, err := listener.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var begun atomic.Int32
		a, err := e.Listen(ListenOptions{File: file}, func(Task) { begun.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		if n := begun.Load(); n != queued {
			t.Errorf("%d set-ups for %d connections in the queue", n, queued)
		}
		a.Close() // once more is no harm
		if file, err := a.File(); err == nil {
			file.Close()
			t.Error("a closed acceptor has a file")
		}
	})
}

// A listener goes from one engine to another one, of either kind, and no client notices.
func TestListenerIsHandedOver(t *testing.T) {
	greet := func(by byte) Setup {
		return func(task Task) { _ = task.Client().Write([]byte{by}, late()) }
	}
	for _, kind := range kinds() {
		t.Run("to "+kind, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, e Engine) {
				withEngine(t, Options{Kind: kind, Loops: 2}, func(heir Engine) {
					a := listenThrough(t, e, greet('1'))
					greetedBy := func() byte {
						c := dialTCP(t, a.Address())
						defer c.Close()
						var by [1]byte
						if _, err := io.ReadFull(c, by[:]); err != nil {
							t.Fatal(err)
						}
						return by[0]
					}
					if by := greetedBy(); by != '1' {
						t.Fatalf("greeted by %q", by)
					}
					file, err := a.File()
					if err != nil {
						t.Fatal(err)
					}
					defer file.Close()
					b, err := heir.Listen(ListenOptions{Address: a.Address(), File: file}, greet('2'))
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(b.Close)
					if b.Address() != a.Address() {
						t.Errorf("the heir listens on %v, not on %v", b.Address(), a.Address())
					}
					for range 20 { // both accept
						greetedBy()
					}
					a.Close()
					for range 20 {
						if by := greetedBy(); by != '2' {
							t.Fatalf("greeted by %q after the hand-over", by)
						}
					}
				})
			})
		})
	}
}

func TestListenErrors(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		taken := listenTCP(t)
		for _, bad := range []struct {
			address netip.AddrPort
			err     error
		}{
			{addressOf(taken), syscall.EADDRINUSE},
			{netip.MustParseAddrPort("192.0.2.1:0"), syscall.EADDRNOTAVAIL}, // TEST-NET-1, RFC 5737
		} {
			a, err := e.Listen(ListenOptions{Address: bad.address}, func(Task) {})
			if err == nil {
				a.Close()
			}
			if !errors.Is(err, bad.err) {
				t.Errorf("listen on %v: got %v, want %v", bad.address, err, bad.err)
			}
		}
	})
}
