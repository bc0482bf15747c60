package splice

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of the hot path are raw: they never block (every descriptor is non-blocking), so the scheduler need not
// hear of them, and none of them allocates.

// receive is recv(2). n is 0 at the peer's FIN.
func receive(fd int32, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), 0, 0, 0)
		if e != syscall.EINTR {
			return int(n), e
		}
	}
}

// unread is how many bytes a socket has (SIOCINQ, tcp(7)). A recv with MSG_PEEK would take a reset away, and the next one
// would find a clean end.
func unread(fd int32) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// send is send(2) without SIGPIPE.
func send(fd int32, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
			uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if e != syscall.EINTR {
			return int(n), e
		}
	}
}

// splice is splice(2); one of the two is a pipe.
func splice(from, to int32, most int) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(most),
			unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if e != syscall.EINTR {
			return int(n), e
		}
	}
}

// epollWait is epoll_wait(2) for waits too short to be worth telling the scheduler; -1 when a signal came.
func epollWait(epoll int, events []unix.EpollEvent, milliseconds int) int {
	n, _, e := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(milliseconds), 0, 0)
	if e != 0 {
		return -1
	}
	return int(n)
}

func accept(fd int32) (int32, netip.AddrPort, syscall.Errno) {
	var address syscall.RawSockaddrAny
	size := uint32(unsafe.Sizeof(address))
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&address)),
			uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			return -1, netip.AddrPort{}, e
		}
		return int32(n), fromSockaddr(&address), 0
	}
}

// newSocket opens a non-blocking TCP socket for connections to to.
func newSocket(to netip.AddrPort) (int32, syscall.Errno) {
	family := uintptr(unix.AF_INET6)
	if to.Addr().Is4() {
		family = unix.AF_INET
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_SOCKET, family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return int32(n), e
}

func bind(fd int32, to netip.AddrPort) syscall.Errno {
	var address syscall.RawSockaddrInet6
	size := toSockaddr(to, &address)
	_, _, e := syscall.RawSyscall(syscall.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&address)), size)
	return e
}

func startListening(fd int32, backlog int) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_LISTEN, uintptr(fd), uintptr(backlog), 0)
	return e
}

func connect(fd int32, to netip.AddrPort) syscall.Errno {
	var address syscall.RawSockaddrInet6
	size := toSockaddr(to, &address)
	_, _, e := syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address)), size)
	return e
}

// bindSource sets the local address of a socket that is about to connect; the kernel chooses the port at the connect,
// when it knows the other end, so that ports are shared between backends (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func bindSource(fd int32, from netip.Addr) syscall.Errno {
	setInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	return bind(fd, netip.AddrPortFrom(from, 0))
}

func setInt(fd int32, level, name, value int) syscall.Errno {
	v := int32(value)
	_, _, e := syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), unsafe.Sizeof(v), 0)
	return e
}

func number(on bool) int {
	if on {
		return 1
	}
	return 0
}

// socketError takes the pending error of a socket (SO_ERROR, socket(7)).
func socketError(fd int32) syscall.Errno {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return unix.ECONNRESET
	}
	return syscall.Errno(code)
}

func localAddress(fd int32) netip.AddrPort {
	var address syscall.RawSockaddrAny
	size := uint32(unsafe.Sizeof(address))
	if _, _, e := syscall.RawSyscall(syscall.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&address)),
		uintptr(unsafe.Pointer(&size))); e != 0 {
		return netip.AddrPort{}
	}
	return fromSockaddr(&address)
}

func closeFD(fd int32) {
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0)
}

// resetFD closes with RST: a linger of 0 drops what is unsent (SO_LINGER, socket(7)).
func resetFD(fd int32) {
	linger := unix.Linger{Onoff: 1}
	_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &linger)
	closeFD(fd)
}

func shutdownWrite(fd int32) {
	syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
}

// watchOver applies keepalive settings to a socket. A kernel that refuses one leaves its usual value.
func watchOver(fd int32, k Keepalive) {
	if k.Idle > 0 {
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(k.Idle))
		if k.Interval > 0 {
			setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds(k.Interval))
		}
		if k.Count > 0 {
			setInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, k.Count)
		}
	}
	setInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, number(k.Idle > 0))
	setInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(k.UserTimeout/time.Millisecond))
}

// seconds rounds up, as tcp(7) knows no fractions and 0 is no valid time.
func seconds(d time.Duration) int {
	return int(max(1, (d+time.Second-1)/time.Second))
}

func fromSockaddr(address *syscall.RawSockaddrAny) netip.AddrPort {
	switch address.Addr.Family {
	case unix.AF_INET:
		a := (*syscall.RawSockaddrInet4)(unsafe.Pointer(address))
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), hostOrder(a.Port))
	case unix.AF_INET6:
		a := (*syscall.RawSockaddrInet6)(unsafe.Pointer(address))
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), hostOrder(a.Port))
	}
	return netip.AddrPort{}
}

// toSockaddr fills in an address of either family and returns its size.
func toSockaddr(from netip.AddrPort, to *syscall.RawSockaddrInet6) uintptr {
	if from.Addr().Is4() {
		a := (*syscall.RawSockaddrInet4)(unsafe.Pointer(to))
		*a = syscall.RawSockaddrInet4{Family: unix.AF_INET, Port: hostOrder(from.Port()), Addr: from.Addr().As4()}
		return unsafe.Sizeof(*a)
	}
	*to = syscall.RawSockaddrInet6{Family: unix.AF_INET6, Port: hostOrder(from.Port()), Addr: from.Addr().As16(),
		Scope_id: zone(from.Addr())}
	return unsafe.Sizeof(*to)
}

// hostOrder swaps a port between the network's byte order and the host's; the swap is its own inverse.
func hostOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
