//go:build unix

package splice

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// arrived tells whether a socket has something to read, its peer's end among that, without taking it.
func arrived(c *net.TCPConn) bool {
	some := false
	look(c, func(fd int) { some = peek(fd) })
	return some
}

// awaitArrival returns once a socket has something to read, or its read deadline has passed.
func awaitArrival(c *net.TCPConn) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Read(func(fd uintptr) bool { return peek(int(fd)) })
	}
}

// peek asks by poll, for a recv with MSG_PEEK takes a reset away: the read after it would find a clean end.
func peek(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != unix.EINTR { // which a signal of the scheduler's gives even where nothing is waited for
			return n > 0 || err != nil
		}
	}
}

// look shows f a connection's descriptor, unless it is closed.
func look(c *net.TCPConn, f func(fd int)) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// duplicate makes a second descriptor of a listening socket. That of (*net.TCPListener).File would turn the socket, which
// both share, into a blocking one as soon as it is handed on.
func duplicate(l *net.TCPListener) (file *os.File, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) {
		var n int
		if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			file = os.NewFile(uintptr(n), l.Addr().String())
		}
	})
	return file, errors.Join(failed, err)
}
