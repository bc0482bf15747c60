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

// disconnected tells whether a socket has been reset, from the kernel's state of it (TCP_INFO, tcp(7)).
func disconnected(c *net.TCPConn) bool {
	const closed = 7 // TCP_CLOSE, include/net/tcp_states.h
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	is := false
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		is = err != nil || info.State == closed
	})
	return is
}
