package splice

import (
	"iter"
	"math"
	"net/netip"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// coroutine runs set-ups, one after the other, on its loop: iter.Pull suspends one wherever it waits, at the cost of a
// function call.
type coroutine struct {
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	spare []*conn // of earlier sessions: a set-up has two, as a rule

	// Of the present session:
	s      *session
	setup  Setup
	client *conn
	conns  []*conn // the client and what was dialled
	joint  Joint
	joined bool
	done   bool // the set-up has returned
	watch  bool // the client's end ends every wait
	woken  bool
	cut    End // what a Cut gave as the reason
}

func (l *loop) coroutine() *coroutine {
	if n := len(l.idle); n > 0 {
		c := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.unused = min(l.unused, n-1)
		return c
	}
	c := &coroutine{}
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		c.yield = yield
		for {
			c.run()
			c.done = true
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return c
}

// run is one set-up. A panic in it costs its own session, if somebody wants to hear of it.
func (c *coroutine) run() {
	if panicked := c.s.loop.engine.panicked; panicked != nil {
		defer func() {
			if value := recover(); value != nil {
				c.joined = false
				panicked(value, debug.Stack())
			}
		}()
	}
	c.setup(c.s)
}

// begin starts the set-up of an accepted connection, which this loop has counted.
func (l *loop) begin(setup Setup, fd int32, remote netip.AddrPort) {
	if l.stopping {
		closeFD(fd)
		l.sessions.Add(-1)
		return
	}
	l.look() // what came before it in the batch must not be taken from its time
	s := &session{loop: l, active: l.now, deadline: never}
	c := l.coroutine()
	c.s, c.setup = s, setup
	s.setup = c
	var err error
	if c.client, err = c.newConn(fd, remote, clientEvents); err != nil {
		l.drop(s)
		return
	}
	c.client.delay = noDelay // inherited from the listener
	l.resume(s)
}

// resume lets a set-up run until it waits again or returns.
func (l *loop) resume(s *session) {
	c := s.setup
	c.next()
	switch {
	case !c.done:
	case c.joined:
		l.join(s)
	default:
		l.drop(s)
	}
}

// drop ends a session that was not joined.
func (l *loop) drop(s *session) {
	s.state = over
	for _, c := range s.setup.conns {
		c.Close()
	}
	l.timers.remove(s)
	l.sessions.Add(-1)
	l.dismiss(s)
}

// join turns what the set-up knows of the two sockets into the two halves, and gives its coroutine to others.
func (l *loop) join(s *session) {
	c := s.setup
	from, to := c.client, c.joint.Server.(*conn)
	s.halves[client] = half{src: from.fd, dst: to.fd, slot: from.slot, readable: from.readable, hup: from.hup,
		failed: from.broken, armed: to.armed}
	s.halves[server] = half{src: to.fd, dst: from.fd, slot: to.slot, readable: to.readable, hup: to.hup,
		failed: to.broken, armed: from.armed}
	for _, one := range []*conn{from, to} {
		one.open = false
	}
	for _, other := range c.conns {
		other.Close()
	}
	s.owner, s.settled, s.idler = c.joint.Owner, c.joint.Settled, c.joint.Idler
	if s.keepalive == nil {
		s.keepalive = c.joint.Keepalive
	}
	s.idle, s.linger = milliseconds(c.joint.Idle), milliseconds(c.joint.Linger)
	s.turns, s.deadline = int8(min(c.joint.Turns, math.MaxInt8)), int64(c.joint.Proof.Sub(l.engine.epoch))
	s.state, s.active, s.last, s.delay = joined, l.now, -1, to.delay
	cut := c.cut
	l.dismiss(s)
	if cut != Unfinished { // the set-up did not wait any more, and so did not hear of it
		l.finish(s, cut)
		return
	}
	l.soil(s)
	l.arm(s)
	for k := range s.halves {
		if s.state == joined && s.halves[k].readable {
			l.settle(s, l.carry(s, k))
		}
	}
}

// milliseconds is how a session keeps a duration: up to 24 days, and a shorter one than can be told as the shortest.
func milliseconds(d time.Duration) int32 {
	return int32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// dismiss takes the coroutine from a session that is set up or given up.
func (l *loop) dismiss(s *session) {
	c := s.setup
	s.setup = nil
	c.retire()
	c.s, c.setup, c.client, c.conns, c.joint = nil, nil, nil, c.conns[:0], Joint{}
	c.joined, c.done, c.watch, c.woken, c.cut = false, false, false, false, Unfinished
	if len(l.idle) < spareCoroutines {
		l.idle = append(l.idle, c)
		if len(l.idle) == fewCoroutines+1 && len(l.dirty) == 0 {
			l.publish = l.now + int64(publishing) // a report is due, be it only to let it go
		}
		return
	}
	c.stop()
}

// retire takes the connections back: they were the set-up's alone, which is over.
func (c *coroutine) retire() {
	for i, one := range c.conns {
		c.conns[i] = nil
		if *one = (conn{}); len(c.spare) < 2 {
			c.spare = append(c.spare, one)
		}
	}
}

// dismissUnused lets those coroutines go that nobody needed since the last report.
func (l *loop) dismissUnused() {
	for ; l.unused > fewCoroutines; l.unused-- {
		last := len(l.idle) - 1
		l.idle[last].stop()
		l.idle[last] = nil
		l.idle = l.idle[:last]
	}
	l.unused = len(l.idle)
}

// conn finds the connection that has a slot.
func (c *coroutine) conn(slot uint32) *conn {
	for _, one := range c.conns {
		if one.slot == slot && one.open {
			return one
		}
	}
	return c.client // can't be: a closed connection's slot is no session's
}

// cut ends a session from outside.
func (l *loop) cut(s *session, end End) {
	switch s.state {
	case settingUp:
		s.setup.cut = end
		l.resume(s)
	case joined:
		l.finish(s, end)
	}
}

// wait suspends the set-up until something happened to the session. What it was, the caller looks up; an error says that
// there is no use in waiting any longer. Without on, or with a server, the client's end may be such an error.
func (s *session) wait(on *conn, deadline time.Time) error {
	c, l := s.setup, s.loop
	s.deadline = never
	if !deadline.IsZero() {
		s.deadline = int64(deadline.Sub(l.engine.epoch))
	}
	if err := c.hopeless(on); err != nil {
		return err
	}
	l.timers.set(s, s.deadline)
	c.yield(struct{}{})
	if err := c.hopeless(on); err != nil {
		return err
	}
	if s.deadline <= l.now {
		return ErrTimeout
	}
	return nil
}

// hopeless tells why nothing is worth waiting for any more.
func (c *coroutine) hopeless(on *conn) error {
	switch {
	case c.cut != Unfinished:
		return ErrCut
	case on != c.client && (c.client.broken || c.watch && c.client.hup):
		return ErrClientGone
	}
	return nil
}

func (s *session) Now() time.Time { return s.loop.time }

func (s *session) Client() Conn { return s.setup.client }

func (s *session) WatchClient(on bool) { s.setup.watch = on }

func (s *session) Dial(to netip.AddrPort, from netip.Addr, deadline time.Time) (Conn, error) {
	to = plain(to)
	c, err := s.dial(to, from)
	if err != nil {
		return nil, err
	}
	for !c.writable {
		if err := s.wait(c, deadline); err != nil && !c.writable {
			c.Abort()
			return nil, err
		}
	}
	if c.broken && unread(c.fd) == 0 { // else it was connected, and has something to say about why it is not any more
		if errno := socketError(c.fd); errno != 0 {
			c.Close()
			return nil, errno
		}
	}
	if meetsItself(c.fd, to) {
		c.Abort()
		return nil, unix.ECONNREFUSED
	}
	return c, nil
}

// dial begins to connect.
func (s *session) dial(to netip.AddrPort, from netip.Addr) (*conn, error) {
	fd, errno := newSocket(to)
	if errno != 0 {
		return nil, errno
	}
	if from.IsValid() {
		if errno := bindSource(fd, from); errno != 0 {
			closeFD(fd)
			return nil, errno
		}
	}
	if errno := connect(fd, to); errno != 0 && errno != unix.EINPROGRESS {
		closeFD(fd)
		return nil, errno
	}
	c, err := s.setup.newConn(fd, to, serverEvents)
	if err != nil {
		return nil, err
	}
	c.armed = true
	return c, nil
}

// meetsItself tells whether a connect to a port on which nobody listens has chosen that very port for its own end, and so
// has succeeded. Only ports that the kernel chooses from are worth the question: 32768 is the first of them, as a rule
// (ip_local_port_range, ip(7)).
func meetsItself(fd int32, to netip.AddrPort) bool {
	return to.Port() >= 32768 && localAddress(fd) == to
}

func (s *session) ReadEither(other Conn, p []byte, deadline time.Time) (Conn, int, error) {
	own, to := s.setup.client, other.(*conn)
	for {
		if n, err, ok := to.tryRead(p); ok {
			return to, n, err
		}
		if n, err, ok := own.tryRead(p); ok {
			return own, n, err
		}
		if err := s.wait(own, deadline); err != nil && !own.readable && !to.readable {
			return own, 0, err
		}
	}
}

func (s *session) Park(deadline time.Time) error {
	c := s.setup
	for !c.woken {
		if err := s.wait(nil, deadline); err != nil && !c.woken {
			return err
		}
	}
	c.woken = false
	return nil
}

func (s *session) Wake() {
	s.loop.post(func() {
		if s.state == settingUp {
			s.setup.woken = true
			s.loop.resume(s)
		}
	})
}

func (s *session) Cut(end End) {
	s.loop.post(func() { s.loop.cut(s, end) })
}

func (s *session) Keepalive(k Keepalive) {
	s.loop.post(func() {
		switch s.state {
		case settingUp:
			s.keepalive = &k
		case joined:
			s.keepalive = nil
			watchOver(s.halves[client].dst, k)
		}
	})
}

func (s *session) Join(joint Joint) {
	if to := joint.Server.(*conn); to.s != s || !to.open || !s.setup.client.open {
		panic("splice: Join of a connection that is closed, or another session's")
	}
	s.setup.joint = joint
	s.setup.joined = true
}
