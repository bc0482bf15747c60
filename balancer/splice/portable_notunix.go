//go:build !unix

package splice

import (
	"net"
	"os"
)

// arrived can't be told here: a client that speaks first is found out when its login is read.
func arrived(*net.TCPConn) bool { return false }

// awaitArrival returns once a socket has something to read, or its read deadline has passed.
func awaitArrival(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	waited := false
	_ = raw.Read(func(uintptr) bool { was := waited; waited = true; return was })
}

func duplicate(l *net.TCPListener) (*os.File, error) { return l.File() }
