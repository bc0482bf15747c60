package splice

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The socket is shared with whoever gets the file: were it made a blocking one for the heir's sake, as package net does,
// the loops that go on accepting from it would stand.
func TestFileIsNonBlocking(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		a := listenThrough(t, e, func(Task) {})
		file, err := a.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0) // Fd is what os/exec calls
		if err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v; want O_NONBLOCK", flags, err)
		}
	})
}

// Accepted sockets inherit from the listener what would cost a system call each; dialled ones get it when they need it.
func TestSocketOptions(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		o := ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0"), Keepalive: 7 * time.Second}
		done := make(chan struct{})
		a, err := e.Listen(o, func(task Task) {
			defer close(done)
			server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			for range 2 {
				want(t, "write", server.Write([]byte("x"), late()), nil)
			}
			for _, option := range []struct {
				what              string
				conn              Conn
				level, name, want int
			}{
				{"no delay, client", task.Client(), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				{"no delay, server", server, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
				{"keepalive, client", task.Client(), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
				{"keepalive, server", server, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0},
				{"time before keepalive, client", task.Client(), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 7},
			} {
				got, err := optionOf(option.conn, option.level, option.name)
				if err != nil || got != option.want {
					t.Errorf("%s: %d, %v; want %d", option.what, got, err, option.want)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		dialTCP(t, a.Address())
		await(t, "the set-up's return", done)
	})
}

func optionOf(c Conn, level, name int) (value int, err error) {
	switch c := c.(type) {
	case *conn:
		return unix.GetsockoptInt(int(c.fd), level, name)
	case *netConn:
		look(c.tcp, func(fd int) { value, err = unix.GetsockoptInt(fd, level, name) })
	}
	return value, err
}

func TestFreeBind(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, foreign := range []string{"192.0.2.1:0", "[2001:db8::1]:0"} { // for documentation: RFC 5737, RFC 3849
			address := netip.MustParseAddrPort(foreign)
			a, err := e.Listen(ListenOptions{Address: address, FreeBind: true}, func(Task) {})
			if err != nil {
				t.Errorf("listen on %v: %v", address, err)
				continue
			}
			if got := a.Address(); got.Addr() != address.Addr() || got.Port() == 0 {
				t.Errorf("listens on %v", got)
			}
			a.Close()
		}
	})
}

func TestInheritedSocketMustListen(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		fd, errno := newSocket(netip.MustParseAddrPort("127.0.0.1:0"))
		if errno != 0 {
			t.Fatal(errno)
		}
		notListening := os.NewFile(uintptr(fd), "socket")
		defer notListening.Close()
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		for _, file := range []*os.File{notListening, null} {
			if a, err := e.Listen(ListenOptions{File: file}, func(Task) {}); err == nil {
				a.Close()
				t.Errorf("%s is taken for a listener", file.Name())
			}
		}
	})
}

// A connection that one loop accepts while the acceptor is being closed, and hands over to another loop, is begun before
// Close returns.
func TestCloseWaitsForHandOvers(t *testing.T) {
	withEngine(t, Options{Kind: "loops", Loops: 2}, func(e Engine) {
		giver, taker := e.(*loops).loops[0], e.(*loops).loops[1]
		var closed, begun atomic.Bool
		a := listenThrough(t, e, func(Task) {
			if closed.Load() {
				t.Error("a set-up is begun after Close")
			}
			begun.Store(true)
		})
		releaseGiver, releaseTaker := giver.hold(), taker.hold()
		dialTCP(t, a.Address())
		done := make(chan struct{})
		go func() { defer close(done); a.Close(); closed.Store(true) }()
		posts := func(l *loop) int { l.mail.Lock(); defer l.mail.Unlock(); return len(l.mail.posts) }
		eventually(t, "Close to ask both loops", func() bool { return posts(giver) == 1 && posts(taker) == 1 })
		taker.post(func() { // between the taker's closing its door and what it is handed over
			select {
			case <-done: // too early
			case <-time.After(100 * time.Millisecond): // long enough to find out
			}
		})
		giver.sessions.Add(100) // so that it hands over
		releaseGiver()
		eventually(t, "the hand-over", func() bool { return posts(taker) == 3 })
		releaseTaker()
		await(t, "Close", done)
		if !begun.Load() {
			t.Error("the set-up was not begun")
		}
		giver.sessions.Add(-100)
	})
}

// Close takes who is in the queue, and does not try to outrun clients that keep coming.
func TestQueueIsTakenOnce(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		const queued = 3
		listener := listenTCP(t)
		for range queued {
			dialTCP(t, addressOf(listener))
		}
		file, err := listener.File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		begun := 0
		release := l.hold()
		a, err := e.Listen(ListenOptions{File: file}, func(Task) {
			if begun++; begun < 10*queued { // one is taken, and another one comes
				c, err := net.Dial("tcp", addressOf(listener).String())
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan struct{})
		go func() { defer close(closed); a.Close() }()
		eventually(t, "Close to ask the loop", func() bool { l.mail.Lock(); defer l.mail.Unlock(); return len(l.mail.posts) == 2 })
		release()
		await(t, "Close", closed)
		if begun != queued {
			t.Errorf("%d set-ups were begun for a queue of %d", begun, queued)
		}
	})
}
