package splice

import (
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeBind is a net.ListenConfig's Control that allows addresses which this host does not have yet (ip(7)).
func freeBind(network, _ string, raw syscall.RawConn) error {
	var err error
	if failed := raw.Control(func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		}
	}); failed != nil {
		return failed
	}
	return err
}

// disconnected tells whether the kernel has closed a socket, as after a reset or when both sides have finished, from its
// state (TCP_INFO, tcp(7)).
func disconnected(c *net.TCPConn) bool {
	const closed = 7 // TCP_CLOSE, include/net/tcp_states.h
	is := false
	look(c, func(fd int) {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		is = err != nil || info.State == closed
	})
	return is
}

// pendingError takes the error that no call has reported yet (SO_ERROR, socket(7)).
func pendingError(c *net.TCPConn) (pending error) {
	look(c, func(fd int) {
		if code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			pending = syscall.Errno(code)
		}
	})
	return pending
}
