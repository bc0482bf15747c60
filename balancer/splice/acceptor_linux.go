package splice

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptor is one listening socket; every loop has a door to it.
type acceptor struct {
	engine  *loops
	address netip.AddrPort
	setup   Setup
	trouble *trouble
	fd      int32

	mu struct {
		sync.Mutex
		accepts, closed bool
	}
}

// door is a loop's view of an acceptor.
type door struct {
	*acceptor
	paused bool
	pause  time.Duration // grows while accepting fails
	retry  int64         // when to look again
}

func (e *loops) Listen(o ListenOptions, setup Setup) (Acceptor, error) {
	o.Address = plain(o.Address)
	listen := listen
	if o.File != nil {
		listen = inherit
	}
	fd, err := besideOthers(o, func() (int32, error) { return listen(o) })
	if err != nil {
		return nil, fmt.Errorf("splice: listen on %s: %w", o.Address, err)
	}
	a := &acceptor{engine: e, fd: fd, address: localAddress(fd), setup: setup, trouble: newTrouble(o)}
	if !o.Held {
		a.Accept()
	}
	return a, nil
}

func (a *acceptor) Accept() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.accepts || a.mu.closed {
		return
	}
	a.mu.accepts = true
	for _, l := range a.engine.loops {
		l.post(func() {
			d := &door{acceptor: a}
			l.acceptors = append(l.acceptors, d)
			l.openDoor(d)
		})
	}
}

func (a *acceptor) Tune(backlog int, keepalive time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed {
		return
	}
	watchOver(a.fd, Keepalive{Idle: keepalive})
	_ = startListening(a.fd, backlogOr(backlog)) // listen(2) once more changes the queue's length
}

// backlogOr is a backlog, or what 0 means.
func backlogOr(backlog int) int {
	if backlog <= 0 {
		return 4096
	}
	return backlog
}

// listen opens a listening socket.
func listen(o ListenOptions) (int32, error) {
	fd, errno := newSocket(o.Address)
	if errno != 0 {
		return -1, errno
	}
	setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if len(o.Beside) > 0 {
		setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	level, freeBind := unix.IPPROTO_IP, unix.IP_FREEBIND
	if ip := o.Address.Addr(); ip.Is6() {
		level, freeBind = unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
		setInt(fd, level, unix.IPV6_V6ONLY, number(!ip.IsUnspecified()))
	}
	setInt(fd, level, freeBind, number(o.FreeBind))
	bequeath(fd, o)
	if errno = bind(fd, o.Address); errno == 0 {
		errno = startListening(fd, backlogOr(o.Backlog))
	}
	setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 0)
	if errno != 0 {
		closeFD(fd)
		return -1, errno
	}
	return fd, nil
}

// inherit takes a duplicate of the socket given. File's own Fd could make the socket, which other processes share, a
// blocking one for a moment.
func inherit(o ListenOptions) (fd int32, err error) {
	raw, err := o.File.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := raw.Control(func(given uintptr) {
		var listens, n int
		if listens, err = unix.GetsockoptInt(int(given), unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && listens == 0 {
			err = unix.EINVAL
		}
		if err == nil {
			n, err = unix.FcntlInt(given, unix.F_DUPFD_CLOEXEC, 0)
			fd = int32(n)
		}
	})
	if err = errors.Join(failed, err); err != nil {
		return -1, fmt.Errorf("inherited socket: %w", err)
	}
	_ = unix.SetNonblock(int(fd), true)
	bequeath(fd, o)
	return fd, nil
}

// bequeath sets what the accepted sockets inherit.
func bequeath(fd int32, o ListenOptions) {
	setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	watchOver(fd, Keepalive{Idle: o.Keepalive})
}

func (a *acceptor) Address() netip.AddrPort { return a.address }

func (a *acceptor) File() (*os.File, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed {
		return nil, fmt.Errorf("splice: duplicate the listener %s: %w", a.address, os.ErrClosed)
	}
	fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("splice: duplicate the listener %s: %w", a.address, err)
	}
	return os.NewFile(uintptr(fd), a.address.String()), nil
}

// Close waits twice for all loops: for each to close its door, and for each to begin what others have handed over to it.
func (a *acceptor) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed {
		return
	}
	a.mu.closed = true
	a.engine.onEach(func(l *loop) { l.removeDoor(a) })
	a.engine.onEach(func(*loop) {})
	closeFD(a.fd)
}

// openDoor lets the loop hear of the acceptor's connections: only one of the loops that sleep is woken for each.
func (l *loop) openDoor(d *door) {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: d.fd, Pad: acceptorEvent}
	err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, int(d.fd), &e)
	if d.paused = err != nil; d.paused {
		l.pauseDoor(d, err.(syscall.Errno))
	}
}

// removeDoor takes what the kernel has completed already, so that nobody who was let in is turned away; but no more than
// that, for others may come faster than they can be taken. The door is shut before: of those that wait for a connection the
// kernel wakes one, and who comes from now on must not wake this loop, which will not look any more, in place of another
// one or of the process that has the listener next.
func (l *loop) removeDoor(a *acceptor) {
	i := slices.IndexFunc(l.acceptors, func(d *door) bool { return d.acceptor == a })
	if i < 0 {
		return
	}
	d := l.acceptors[i]
	l.acceptors = slices.Delete(l.acceptors, i, i+1)
	if !d.paused {
		d.paused = true
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(d.fd), nil)
	}
	for n := backlogOf(d.fd); n > 0 && l.acceptOne(d); n-- {
	}
}

// backlogOf is how many connections wait to be accepted (TCP_INFO of a listening socket).
func backlogOf(fd int32) int {
	info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0
	}
	return int(info.Unacked)
}

func (l *loop) acceptFrom(fd int32) {
	for _, d := range l.acceptors {
		if d.fd == fd && !d.paused {
			l.acceptOne(d)
			return
		}
	}
}

// acceptOne takes one connection; false when there was none to take.
func (l *loop) acceptOne(d *door) bool {
	fd, remote, errno := accept(d.fd)
	switch errno {
	case 0:
	case unix.EAGAIN: // somebody else took it
		return false
	case unix.ECONNABORTED: // the client has gone already
		return true
	default:
		l.pauseDoor(d, errno)
		return false
	}
	d.pause = 0
	d.trouble.accepted(l.now)
	l.arrivals.note(l.now)
	to := l.engine.lightest(l)
	to.sessions.Add(1)
	if to == l {
		l.begin(d.setup, fd, remote)
	} else if !to.post(func() { to.begin(d.setup, fd, remote) }) {
		to.sessions.Add(-1)
		closeFD(fd)
	}
	return true
}

// pauseDoor stops accepting for a while: the connection stays in the kernel's queue, and trying at once would only burn
// the time of those who have theirs.
func (l *loop) pauseDoor(d *door, errno syscall.Errno) {
	if !d.paused {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(d.fd), nil)
	}
	d.paused, d.pause = true, longerPause(d.pause)
	d.retry = l.now + int64(d.pause)
	d.trouble.met(errno, l.now)
}
