//go:build unix

package splice

import (
	"net"
	"time"

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

// awaitEither waits until one of two sockets has something to read, or for the given time.
func awaitEither(a, b *net.TCPConn, most time.Duration) {
	rawA, errA := a.SyscallConn()
	rawB, errB := b.SyscallConn()
	if errA != nil || errB != nil {
		return
	}
	_ = rawA.Control(func(fdA uintptr) {
		_ = rawB.Control(func(fdB uintptr) {
			fds := []unix.PollFd{{Fd: int32(fdA), Events: unix.POLLIN}, {Fd: int32(fdB), Events: unix.POLLIN}}
			_, _ = unix.Poll(fds, int(most/time.Millisecond))
		})
	})
}
