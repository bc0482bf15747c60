package splice

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// goroutines is the portable engine: package net, one goroutine for a set-up, two for a joined session.
type goroutines struct {
	running  sync.WaitGroup
	panicked func(any, []byte)
	mu       struct {
		sync.Mutex
		links  map[*link]struct{}
		closed bool
	}
}

func newGoroutines(o Options) Engine {
	e := &goroutines{panicked: o.Panicked}
	e.mu.links = map[*link]struct{}{}
	return e
}

func (e *goroutines) Sessions() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return []int{len(e.mu.links)}
}

func (e *goroutines) Close() {
	e.mu.Lock()
	e.mu.closed = true
	for l := range e.mu.links {
		l.Cut(Drained)
	}
	e.mu.Unlock()
	e.running.Wait()
}

// link is one session of the portable engine.
type link struct {
	engine *goroutines
	client *netConn
	wake   chan struct{}
	over   context.Context // done once the session is cut
	cancel context.CancelFunc
	joint  *Joint
	relay  atomic.Pointer[relay] // once joined

	mu struct {
		sync.Mutex
		end       End          // by a Cut
		conns     []*netConn   // of the set-up: the client, and what was dialled
		server    *net.TCPConn // of the joined session
		keepalive *Keepalive   // instead of the Joint's
	}
}

// begin starts the set-up of an accepted connection; false means that the engine is closed.
func (e *goroutines) begin(c *net.TCPConn, setup Setup) bool {
	l := &link{engine: e, wake: make(chan struct{}, 1)}
	l.over, l.cancel = context.WithCancel(context.Background())
	l.client = &netConn{link: l, tcp: c}
	l.mu.conns = []*netConn{l.client}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return false
	}
	e.mu.links[l] = struct{}{}
	e.running.Add(1)
	go l.run(setup)
	return true
}

func (l *link) run(setup Setup) {
	defer l.engine.running.Done()
	defer l.cancel()
	l.prepare(setup)
	if l.joint == nil {
		for _, c := range l.takeConns() {
			c.Close()
		}
		l.leave()
		return
	}
	server := l.joint.Server.(*netConn)
	for _, c := range l.takeConns() {
		if c != l.client && c != server {
			c.Close()
		}
	}
	r := newRelay(l, server)
	l.relay.Store(r)
	end := r.run()
	l.leave()
	l.joint.Owner.Ended(end)
}

func (l *link) prepare(setup Setup) {
	if panicked := l.engine.panicked; panicked != nil {
		defer func() {
			if value := recover(); value != nil {
				l.joint = nil
				panicked(value, debug.Stack())
			}
		}()
	}
	setup(l)
}

// takeConns ends the set-up: a Cut leaves its connections alone from then on.
func (l *link) takeConns() []*netConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	conns := l.mu.conns
	l.mu.conns = nil
	return conns
}

func (l *link) leave() {
	l.engine.mu.Lock()
	delete(l.engine.mu.links, l)
	l.engine.mu.Unlock()
}

func (l *link) Client() Conn { return l.client }

func (l *link) Now() time.Time { return time.Now() }

func (l *link) WatchClient(bool) {}

func (l *link) Dial(to netip.AddrPort, from netip.Addr, deadline time.Time) (Conn, error) {
	dialer := net.Dialer{Deadline: deadline, KeepAlive: -1}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	c, err := dialer.DialContext(l.over, "tcp", plain(to).String())
	if err != nil {
		return nil, l.reason(err)
	}
	made := &netConn{link: l, tcp: c.(*net.TCPConn)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.conns = append(l.mu.conns, made)
	return made, nil
}

// ReadEither has one goroutine listen on each side, without reading there: what the other side has is left for later.
func (l *link) ReadEither(other Conn, p []byte, deadline time.Time) (Conn, int, error) {
	sides := [...]*netConn{other.(*netConn), l.client}
	for _, c := range sides {
		if c.Pending() {
			n, err := c.Read(p, deadline)
			return c, n, err
		}
	}
	heard := make(chan *netConn)
	for _, c := range sides {
		c.until(deadline, false)
		go func() {
			awaitArrival(c.tcp)
			heard <- c
		}()
	}
	first := <-heard
	for _, c := range sides {
		_ = c.tcp.SetReadDeadline(past)
	}
	<-heard
	n, err := first.Read(p, deadline)
	return first, n, err
}

func (l *link) Park(deadline time.Time) error {
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-l.wake:
		return nil
	case <-l.over.Done():
		return ErrCut
	case <-timeout:
		return ErrTimeout
	}
}

func (l *link) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) Join(joint Joint) { l.joint = &joint }

// Cut makes every wait of the session end: those of a set-up by its context and its connections' deadlines.
func (l *link) Cut(end End) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.end != Unfinished {
		return
	}
	l.mu.end = end
	l.cancel()
	for _, c := range l.mu.conns {
		_ = c.tcp.SetDeadline(past)
	}
}

func (l *link) Keepalive(k Keepalive) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.keepalive = &k
	if l.mu.server != nil {
		netKeepalive(l.mu.server, k)
	}
}

// netKeepalive leaves out UserTimeout, which package net does not know.
func netKeepalive(c *net.TCPConn, k Keepalive) {
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: k.Idle > 0, Idle: k.Idle, Interval: k.Interval, Count: k.Count})
}

// reason turns an error of package net into one of this package's, where it has one.
func (l *link) reason(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case l.over.Err() != nil:
		return ErrCut
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() && !errors.Is(err, syscall.ETIMEDOUT) {
		return ErrTimeout
	}
	return err
}

// netConn is one socket of a set-up.
type netConn struct {
	link *link
	tcp  *net.TCPConn
}

func (c *netConn) Read(p []byte, deadline time.Time) (int, error) {
	c.until(deadline, false)
	n, err := c.tcp.Read(p)
	if n > 0 {
		return n, nil
	}
	return 0, c.link.reason(err)
}

func (c *netConn) Write(p []byte, deadline time.Time) error {
	c.until(deadline, true)
	_, err := c.tcp.Write(p)
	return c.link.reason(err)
}

// until sets a deadline. Once it was cut, a set-up waits for nothing any more, but it may tell its client why.
func (c *netConn) until(deadline time.Time, writing bool) {
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	switch {
	case c.link.mu.end == Unfinished:
	case writing:
		deadline = time.Now().Add(farewell)
	default:
		deadline = past
	}
	_ = c.tcp.SetDeadline(deadline)
}

// farewell is time enough for a write that has room, also where the processor is busy.
const farewell = 100 * time.Millisecond

// past is a deadline that has always been over.
var past = time.Unix(1, 0)

func (c *netConn) Pending() bool { return arrived(c.tcp) }

func (c *netConn) Remote() netip.AddrPort { return plain(c.tcp.RemoteAddr().(*net.TCPAddr).AddrPort()) }
func (c *netConn) Local() netip.AddrPort  { return plain(c.tcp.LocalAddr().(*net.TCPAddr).AddrPort()) }
func (c *netConn) Close()                 { c.tcp.Close() }

func (c *netConn) Abort() {
	_ = c.tcp.SetLinger(0)
	c.tcp.Close()
}

func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
