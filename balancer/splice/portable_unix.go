//go:build unix

package splice

import (
	"net"

	"golang.org/x/sys/unix"
)

// arrived tells whether a socket has something to read, its peer's end among that, without taking it.
func arrived(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	_ = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		some = err != unix.EAGAIN
	})
	return some
}
