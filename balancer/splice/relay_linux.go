package splice

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/balancer/idle"
)

type state uint8

const (
	settingUp state = iota
	joined
	over
)

// half is one direction of a joined session: bytes read from src are written to dst.
type half struct {
	src, dst int32
	slot     uint32  // of src
	pipe     *pipe   // borrowed while splicing
	lent     *buffer // holds bytes that were copied and are not yet written:
	from, to int32   // these
	moved    uint64
	told     uint64 // of moved, what the owner knows

	readable  bool // src may have something
	hup       bool // src has announced its end: read until it comes, for a short read proves nothing any more
	failed    bool // src has announced an error
	bulk      bool // the last read filled the buffer: splice
	eof       bool // src has finished
	shut      bool // and dst knows
	postponed bool // the turn was over before the data was
	armed     bool // dst is watched for room to write
}

// session is all that is left of a connection once it is set up.
type session struct {
	loop      *loop
	setup     *coroutine // until the join
	owner     Owner
	halves    [2]half
	keepalive *Keepalive // to be applied to the server's socket
	active    int64      // when bytes last moved
	deadline  int64      // of the set-up's present wait; after the join, when the turns must have been taken
	idle      int32      // milliseconds
	linger    int32
	timer     int32 // position in the loop's heap, plus one
	dirty     int32 // position among the loop's dirty, plus one
	state     state
	first     int8  // the side that finished first
	last      int8  // the half that moved last, while turns are counted
	turns     int8  // still to be taken before proof
	delay     delay // of the server's socket; the client's has none
	queued    bool  // in the loop's again
	settled   bool  // nothing was outstanding at the join
	idler     idle.Tracker
}

// advance does what an epoll event calls for.
func (l *loop) advance(s *session, e *unix.EpollEvent) {
	k := client
	if s.halves[server].slot == uint32(e.Fd) {
		k = server
	}
	in, out := &s.halves[k], &s.halves[1-k]
	if e.Events&ended != 0 {
		in.hup = true // this edge comes once, maybe together with the last data
	}
	if e.Events&unix.EPOLLERR != 0 {
		in.failed = true
	}
	if e.Events&(unix.EPOLLIN|ended) != 0 {
		in.readable = true
		l.settle(s, l.carry(s, k))
	}
	if s.state == joined && e.Events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 && out.pending() {
		l.settle(s, l.carry(s, 1-k))
	}
}

func (h *half) pending() bool { return h.lent != nil || h.pipe != nil && h.pipe.held > 0 }

// carry moves what there is from src to dst until one of them would block or the turn is over. The session's end is
// Unfinished unless it broke.
func (l *loop) carry(s *session, k int) End {
	h := &s.halves[k]
	for budget := turn; ; {
		switch errno := l.flush(s, h); {
		case errno == unix.EAGAIN && h.failed && k == client:
			return broken(k, socketError(h.src)) // nobody waits for what the server would do with the rest
		case errno == unix.EAGAIN:
			l.awaitRoom(s, k)
			return Unfinished
		case errno != 0:
			return broken(1-k, errno)
		case h.eof:
			return l.passOnEnd(s, k)
		case !h.readable:
			l.returnPipe(h)
			return Unfinished
		case budget <= 0:
			l.postpone(s, h)
			return Unfinished
		}
		n, errno := l.take(h, budget)
		switch {
		case errno == unix.EAGAIN:
			h.readable, h.bulk = false, false
		case errno != 0:
			return broken(k, errno)
		case n == 0:
			h.eof = true
		default:
			budget -= n
			h.moved += uint64(n)
			if s.idler.Follows() {
				s.follow(k, n)
			}
			s.active = l.now
			l.soil(s)
			if s.turns > 0 && int(s.last) != k {
				s.last = int8(k)
				s.turns--
			}
		}
	}
}

// follow tells the session's tracker of n bytes that half k has just taken.
func (s *session) follow(k, n int) {
	h := &s.halves[k]
	switch {
	case h.lent == nil:
		s.idler.Unseen(k == client, n)
	case k == client:
		s.idler.Client(h.lent[h.from:h.to])
	default:
		s.idler.Server(h.lent[h.from:h.to])
	}
}

// flush writes what was taken and is still held.
func (l *loop) flush(s *session, h *half) syscall.Errno {
	for h.pending() {
		if s.delay != noDelay && h == &s.halves[client] {
			s.delay.next(h.dst)
		}
		if h.lent == nil {
			n, errno := splice(h.pipe.read, h.dst, h.pipe.held)
			if refused(errno) {
				n, errno = 0, l.unpipe(h)
			}
			if errno != 0 {
				return errno
			}
			h.pipe.held -= n
		} else {
			n, errno := send(h.dst, h.lent[h.from:h.to])
			if errno != 0 {
				return errno
			}
			if h.from += int32(n); h.from == h.to {
				l.returnBuffer(h)
			}
		}
		s.active = l.now // a side that reads slowly is not idle
	}
	return 0
}

// take reads from src, into a pipe when there is much, else into a buffer. n is 0 at the end.
func (l *loop) take(h *half, budget int) (n int, errno syscall.Errno) {
	if h.pipe == nil && h.bulk {
		h.pipe = l.pipes.borrow(l.now)
	}
	if h.pipe != nil && l.pipes.most > 0 {
		n, errno = splice(h.src, h.pipe.write, min(budget, l.pipes.size))
		if errno == 0 {
			h.pipe.held = n
		}
		if !refused(errno) {
			return n, errno
		}
		l.pipes.close()
	}
	l.returnPipe(h)
	return l.copy(h)
}

// refused tells whether this kernel, or this kind of socket, can't splice: bytes are copied from then on.
func refused(errno syscall.Errno) bool { return errno == unix.EINVAL || errno == unix.ENOSYS }

// copy reads once into a buffer, for flush to write.
func (l *loop) copy(h *half) (n int, errno syscall.Errno) {
	b := l.takeBuffer()
	n, errno = receive(h.src, b[:])
	if errno != 0 || n == 0 {
		l.spare = append(l.spare, b)
		return n, errno
	}
	h.lent, h.from, h.to = b, 0, int32(n)
	h.bulk = n == len(b)
	if !h.bulk && !h.hup {
		h.readable = false // a short read means drained: the next edge will tell
	}
	return n, 0
}

// unpipe takes back into a buffer what a pipe holds for a dst that can't be spliced to.
func (l *loop) unpipe(h *half) syscall.Errno {
	l.pipes.close()
	b := l.takeBuffer()
	n, errno := h.pipe.drain(b[:])
	if errno == 0 {
		h.lent, h.from, h.to = b, 0, int32(n)
	}
	return errno
}

// passOnEnd tells dst that src has finished. When both have, there is nothing to tell: the session is closed. A src that
// was reset after its end says nothing more, so its error is asked for.
func (l *loop) passOnEnd(s *session, k int) End {
	h, other := &s.halves[k], &s.halves[1-k]
	l.returnPipe(h)
	if s.settled && k == client && h.moved == 0 && other.moved == 0 {
		return ClientClosed
	}
	if !h.shut {
		h.shut = true
		if !other.eof {
			s.first = int8(k)
		}
		if !other.shut {
			shutdownWrite(h.dst)
			s.active = l.now
			l.arm(s)
		}
	}
	if h.failed && !other.shut {
		return broken(k, socketError(h.src))
	}
	return Unfinished
}

// settle closes the session if it is over.
func (l *loop) settle(s *session, end End) {
	switch {
	case s.state != joined:
	case end != Unfinished:
		l.finish(s, end)
	case s.halves[client].shut && s.halves[server].shut:
		l.finish(s, ClientClosed+End(s.first))
	}
}

// postpone puts a session with more to move behind the others.
func (l *loop) postpone(s *session, h *half) {
	h.postponed = true
	if !s.queued {
		s.queued = true
		l.again = append(l.again, s)
	}
}

// awaitRoom has the loop told when dst can take more. A server's socket has that since its connect.
func (l *loop) awaitRoom(s *session, k int) {
	h := &s.halves[k]
	if !h.armed {
		h.armed = true
		l.control(unix.EPOLL_CTL_MOD, h.dst, s.halves[1-k].slot, serverEvents)
	}
}

// due is when the session is to be looked at, and how it ends if nothing has moved until then.
func (s *session) due() (int64, End) {
	if s.state == settingUp {
		return s.deadline, Unfinished
	}
	when, end := never, Unfinished
	if s.idle > 0 {
		when, end = s.active+int64(s.idle)*int64(time.Millisecond), IdleTimeout
	}
	half := s.halves[client].shut || s.halves[server].shut
	if patience := int64(s.linger) * int64(time.Millisecond); half && patience > 0 && s.active+patience < when {
		when, end = s.active+patience, LingerTimeout
	}
	if s.turns > 0 && s.deadline < when {
		when, end = s.deadline, Unproven
	}
	return when, end
}

func (l *loop) arm(s *session) {
	when, _ := s.due()
	l.timers.set(s, when)
}

// finish closes both sockets, in the way that fits the end, and tells the owner.
func (l *loop) finish(s *session, end End) {
	if s.state != joined {
		return
	}
	s.state = over
	quiet := !s.halves[client].pending() && !s.halves[server].pending()
	for k := range s.halves {
		h := &s.halves[k]
		l.returnPipe(h)
		l.returnBuffer(h)
		l.forget(h.slot)
		told := s.halves[1-k].shut // has all that was for it: a reset could only take back what it has not read yet
		if !told && mustReset(k, end, quiet) {
			resetFD(h.src)
		} else {
			closeFD(h.src)
		}
	}
	l.timers.remove(s)
	l.clean(s)
	l.sessions.Add(-1)
	s.publish()
	s.owner.Ended(end)
}

func (s *session) publish() {
	up, down := &s.halves[client], &s.halves[server]
	if up.moved == up.told && down.moved == down.told {
		return
	}
	s.owner.Moved(up.moved-up.told, down.moved-down.told)
	up.told, down.told = up.moved, down.moved
}

func (l *loop) returnPipe(h *half) {
	if h.pipe != nil {
		l.pipes.giveBack(h.pipe)
		h.pipe = nil
	}
}

func (l *loop) takeBuffer() *buffer {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return new(buffer)
}

func (l *loop) returnBuffer(h *half) {
	if h.lent != nil && len(l.spare) < spareBuffers {
		l.spare = append(l.spare, h.lent)
	}
	h.lent = nil
}
