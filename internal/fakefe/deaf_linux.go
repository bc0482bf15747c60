package fakefe

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// deaf has the kernel drop whatever comes for a socket, before TCP has seen it: a socket filter that takes nothing
// (socket(7), SO_ATTACH_FILTER).
func deaf(c syscall.Conn) error {
	nothing := [...]unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	program := unix.SockFprog{Len: uint16(len(nothing)), Filter: &nothing[0]}
	return onSocket(c, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
}

// hearing undoes deaf.
func hearing(c syscall.Conn) error {
	return onSocket(c, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) })
}

func onSocket(c syscall.Conn, do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}
