package splice

import (
	"net"
	"net/netip"
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
