package fakefe

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// hold reserves an address with a socket that is bound and does not listen. SO_REUSEADDR on it and on the
// listener (which net sets) lets both have the port, while neither another listener nor an outgoing connection gets
// it; a client that connects meanwhile is refused. With port 0 the kernel chooses one.
func hold(want *net.TCPAddr) (*net.TCPAddr, io.Closer, error) {
	family, address := socketAddress(want)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "held port")
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		file.Close()
		return nil, nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, address); err != nil {
		file.Close()
		return nil, nil, os.NewSyscallError("bind", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		file.Close()
		return nil, nil, os.NewSyscallError("getsockname", err)
	}
	got := *want
	switch bound := bound.(type) {
	case *unix.SockaddrInet4:
		got.Port = bound.Port
	case *unix.SockaddrInet6:
		got.Port = bound.Port
	}
	return &got, file, nil
}

func socketAddress(a *net.TCPAddr) (int, unix.Sockaddr) {
	if ip := a.IP.To4(); ip != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(ip)}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: a.Port, Addr: [16]byte(a.IP.To16())}
}
