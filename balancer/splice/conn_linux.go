package splice

import (
	"io"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one socket of a set-up. After the join its descriptor belongs to the session's halves.
type conn struct {
	s      *session
	remote netip.AddrPort
	fd     int32
	slot   uint32

	open     bool
	readable bool // may have something
	writable bool // has taken everything so far
	hup      bool // the peer's end has been announced
	broken   bool // an error or both directions' end has been announced
	armed    bool // watched for room to write
	delay    delay
}

// delay tells whether the kernel may hold back a small segment while an earlier one is not acknowledged (Nagle's
// algorithm; TCP_NODELAY, tcp(7)). What is written first is not, for there is none: a backend's socket is told not to delay
// before its second write, and a session that ends after the login is spared the call.
type delay uint8

const (
	unwritten   delay = iota // since the connect
	writtenOnce              // and delays what comes next
	noDelay
)

// next is to be called before each write.
func (d *delay) next(fd int32) {
	if *d == writtenOnce {
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	*d = min(*d+1, noDelay)
}

// newConn takes charge of a socket; on an error it is closed.
func (c *coroutine) newConn(fd int32, remote netip.AddrPort, events uint32) (*conn, error) {
	slot, errno := c.s.loop.watch(fd, c.s, events)
	if errno != 0 {
		closeFD(fd)
		return nil, errno
	}
	var made *conn
	if n := len(c.spare); n > 0 {
		made, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		made = new(conn)
	}
	*made = conn{s: c.s, fd: fd, slot: slot, remote: remote, open: true}
	c.conns = append(c.conns, made)
	return made, nil
}

// note remembers what an epoll event said.
func (c *conn) note(events uint32) {
	if events&(unix.EPOLLIN|ended) != 0 {
		c.readable = true
	}
	if events&ended != 0 {
		c.hup = true
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.broken = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.writable = true
	}
}

// tryRead reads what there is; ok is false when there is nothing.
func (c *conn) tryRead(p []byte) (n int, err error, ok bool) {
	if !c.open {
		return 0, syscall.EBADF, true
	}
	if !c.readable {
		return 0, nil, false
	}
	n, errno := receive(c.fd, p)
	switch {
	case errno == unix.EAGAIN:
		c.readable = false
		return 0, nil, false
	case errno != 0:
		return 0, errno, true
	case n == 0:
		return 0, io.EOF, true
	}
	if n < len(p) && !c.hup {
		c.readable = false
	}
	return n, nil, true
}

func (c *conn) Read(p []byte, deadline time.Time) (int, error) {
	for {
		if n, err, ok := c.tryRead(p); ok {
			return n, err
		}
		if err := c.s.wait(c, deadline); err != nil && !c.readable {
			return 0, err
		}
	}
}

func (c *conn) Write(p []byte, deadline time.Time) error {
	for c.open {
		c.delay.next(c.fd)
		n, errno := send(c.fd, p)
		if errno != 0 && errno != unix.EAGAIN {
			return errno
		}
		if errno == 0 {
			p = p[n:]
		}
		if len(p) == 0 {
			return nil
		}
		if errno == 0 {
			continue
		}
		c.writable = false
		if !c.armed {
			c.armed = true
			c.s.loop.control(unix.EPOLL_CTL_MOD, c.fd, c.slot, serverEvents)
		}
		for !c.writable {
			if err := c.s.wait(c, deadline); err != nil && !c.writable {
				return err
			}
		}
	}
	return syscall.EBADF
}

func (c *conn) Pending() bool { return c.open && c.readable && (c.hup || unread(c.fd) > 0) }

func (c *conn) Remote() netip.AddrPort { return c.remote }

func (c *conn) Local() netip.AddrPort {
	if !c.open {
		return netip.AddrPort{}
	}
	return localAddress(c.fd)
}

func (c *conn) Close() {
	if c.release() {
		closeFD(c.fd)
	}
}

func (c *conn) Abort() {
	if c.release() {
		resetFD(c.fd)
	}
}

func (c *conn) release() bool {
	if !c.open {
		return false
	}
	c.open = false
	c.s.loop.forget(c.slot)
	return true
}
