package fakefe

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/mysqlwire"
)

// TestBlackHole: what is sent is not acknowledged, nobody can connect, and all goes on when it ends.
func TestBlackHole(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	set(t, fe, BlackHole)
	c.command(mysqlwire.ComPing, "")
	unacknowledged := func() (n uint32) {
		raw, err := c.conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) {
			if info, err := unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO); err == nil {
				n = info.Unacked
			}
		})
		return n
	}
	if unacknowledged() == 0 {
		t.Error("the command was acknowledged")
	}
	if late, err := net.DialTimeout("tcp", fe.Address(), 50*time.Millisecond); err == nil {
		late.Close()
		t.Error("a connection was made")
	}
	set(t, fe, None)
	c.ok()
	enter(t, fe)
	set(t, fe, BlackHole)
	set(t, fe, Kill)
	if n := c.wasReset(); n != 0 {
		t.Errorf("%d bytes before the reset", n)
	}
}
