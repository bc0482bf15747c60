package splice

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// A held acceptor has its address, and lets nobody in before Accept; who came meanwhile is let in then.
func TestHeldAcceptor(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		begun := make(chan struct{}, 10)
		a, err := e.Listen(ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0"), Held: true}, func(Task) { begun <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		c := dialTCP(t, a.Address())
		defer c.Close()
		if b, err := e.Listen(ListenOptions{Address: a.Address()}, func(Task) {}); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("its address is free: %v, %v", b, err)
		}
		a.Tune(7, time.Minute)
		a.Accept()
		a.Accept()
		<-begun
	})
}

// A held acceptor that is closed turns away who has come, and starts nothing.
func TestHeldAcceptorIsGivenUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		a, err := e.Listen(ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0"), Held: true}, func(Task) { t.Error("a set-up has begun") })
		if err != nil {
			t.Fatal(err)
		}
		address := a.Address()
		c := dialTCP(t, address)
		defer c.Close()
		a.Close()
		a.Accept()
		a.Tune(1, 0)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) && err != io.EOF {
			t.Errorf("the client reads %v", err)
		}
		if c, err := net.Dial("tcp", address.String()); err == nil {
			c.Close()
			t.Error("the address is still listened on")
		}
	})
}

// An acceptor gives way to one whose address overlaps with its own, and no client is refused meanwhile.
func TestAcceptorBesideAnother(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		who := make(chan string, 1)
		by := func(name string) Setup { return func(Task) { who <- name } }
		dial := func(to netip.AddrPort, want string) {
			t.Helper()
			c := dialTCP(t, to)
			defer c.Close()
			if got := <-who; got != want {
				t.Errorf("the client is let in by %s, want %s", got, want)
			}
		}
		narrow, err := e.Listen(ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0")}, by("narrow"))
		if err != nil {
			t.Fatal(err)
		}
		defer narrow.Close()
		address := narrow.Address()
		all := netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port())
		if a, err := e.Listen(ListenOptions{Address: all}, by("nobody")); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("without Beside: %v, %v", a, err)
		}
		wide, err := e.Listen(ListenOptions{Address: all, Beside: []Acceptor{narrow}, Held: true}, by("wide"))
		if err != nil {
			t.Fatal(err)
		}
		defer wide.Close()
		dial(address, "narrow")
		wide.Accept()
		narrow.Close()
		dial(address, "wide")
		back, err := e.Listen(ListenOptions{Address: address, Beside: []Acceptor{wide, narrow}}, by("back"))
		if err != nil {
			t.Fatal(err)
		}
		defer back.Close()
		dial(address, "back")
		wide.Close()
		dial(address, "back")
		if a, err := e.Listen(ListenOptions{Address: all}, by("nobody")); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("afterwards: %v, %v", a, err)
		}
	})
}
