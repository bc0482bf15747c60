package balancer

import (
	"testing"

	"golang.org/x/sys/unix"
)

// awaitAcknowledged returns when the other end's kernel has all that a client has sent (SIOCOUTQ, tcp(7)).
func awaitAcknowledged(t *testing.T, c *client) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the bytes to arrive", func() bool {
		left := 0
		raw.Control(func(fd uintptr) { left, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		return left == 0 && err == nil
	})
}
