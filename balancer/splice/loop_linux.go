package splice

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// batch is how many events one EpollWait may bring.
	batch = 256
	// bufferSize is the copy buffer's: a read that fills it turns the direction to splice. 16 KiB was measured to
	// cost 40 % more on 32 KB results.
	bufferSize = 64 << 10
	// turn bounds the bytes that one direction moves before others get theirs: a full pipe, some 200 µs.
	turn = 512 << 10
	// publishing is the time between two reports of bytes moved.
	publishing = time.Second
	// spareBuffers and spareCoroutines are kept by a loop for the next who needs one; the coroutines are 8 KiB each,
	// and those that nobody needed for a second are let go, all but a few.
	spareBuffers    = 16
	spareCoroutines = 64
	fewCoroutines   = 4
)

// The pad of an epoll event tells what it is about: the generation of a slot, or one of these.
const (
	acceptorEvent = -1 - iota
	mailEvent
)

const (
	ended = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	// clientEvents leaves out EPOLLOUT, which would cost a wake-up at once; it is asked for when a write blocks.
	clientEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET
	// serverEvents has it, for the connect.
	serverEvents = clientEvents | unix.EPOLLOUT
)

// loop is one epoll instance and the goroutine that runs it. Only that goroutine touches its fields, but for mail and
// sessions.
type loop struct {
	engine    *loops
	epoll     int
	mailbox   int       // an eventfd
	now       int64     // by the engine's clock, when the loop last waited or began a set-up
	time      time.Time // the same
	slots     []slot
	freeSlots []uint32
	acceptors []*door
	arrivals  arrivals
	timers    deadlines
	again     []*session // had more to move than their turn allowed
	served    []*session // the space of those who had their turn, for the next again
	dirty     []*session // joined or moved bytes since the last report
	publish   int64      // when to report
	pipes     pipes
	spare     []*buffer
	idle      []*coroutine
	unused    int // the fewest idle coroutines since the last report
	stopping  bool

	sessions atomic.Int32
	mail     struct {
		sync.Mutex
		posts  []func()
		closed bool
	}
}

// buffer is what a direction is copied through.
type buffer [bufferSize]byte

// slot is what an epoll event finds its socket by. The generation tells events of the slot's earlier sockets apart:
// those still in the batch, and those that a child process being started keeps alive for a moment.
type slot struct {
	s          *session
	generation int32
}

func newLoop(engine *loops, o Options) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	mailbox, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, err
	}
	l := &loop{engine: engine, epoll: epoll, mailbox: mailbox,
		pipes: pipes{most: o.Pipes, size: o.PipeSize}}
	e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(mailbox), Pad: mailEvent}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, mailbox, &e); err != nil {
		l.free()
		return nil, err
	}
	return l, nil
}

func (l *loop) run() {
	defer l.engine.running.Done()
	defer l.free()
	l.look()
	events := make([]unix.EpollEvent, batch)
	for !l.stopping || l.sessions.Load() > 0 {
		n := l.await(events)
		l.look()
		for i := range events[:n] {
			l.event(&events[i])
		}
		l.moveOn()
		l.expire()
		l.report()
	}
}

// look looks at the clock.
func (l *loop) look() {
	l.time = time.Now()
	l.now = int64(l.time.Sub(l.engine.epoch))
}

func (l *loop) event(e *unix.EpollEvent) {
	switch e.Pad {
	case acceptorEvent:
		l.acceptFrom(e.Fd)
	case mailEvent:
		l.readMail()
	default:
		at := &l.slots[e.Fd]
		switch s := at.s; {
		case at.generation != e.Pad || s == nil:
		case s.state == settingUp:
			s.setup.conn(uint32(e.Fd)).note(e.Events)
			l.resume(s)
		default:
			l.advance(s, e)
		}
	}
}

// await waits for events. The first millisecond is a raw call: the thread sleeps, and the Go scheduler believes that it
// works. Under load the next event comes within that time, and is spared the scheduler's taking the processor away
// and giving it back, which costs more than some sessions do. A loop that has nothing to do then waits as one should, and
// looks at the clock before: by the one of its last batch it would wait too long, by as much as that batch took.
func (l *loop) await(events []unix.EpollEvent) int {
	patience := l.patience()
	soon := patience
	if patience < 0 || patience > 1 {
		soon = 1
	}
	if n := epollWait(l.epoll, events, soon); n != 0 || soon == patience {
		return max(n, 0)
	}
	l.look()
	n, _ := unix.EpollWait(l.epoll, events, l.patience())
	return max(n, 0)
}

// patience is how long EpollWait may wait, in milliseconds.
func (l *loop) patience() int {
	if len(l.again) > 0 {
		return 0
	}
	next := never
	if len(l.timers) > 0 {
		next = l.timers[0].when
	}
	if len(l.dirty) > 0 || len(l.idle) > fewCoroutines {
		next = min(next, l.publish)
	}
	for _, d := range l.acceptors {
		if d.paused {
			next = min(next, d.retry)
		}
	}
	if next == never {
		return -1
	}
	wait := time.Duration(next - l.now)
	return int(max(0, min(wait+time.Millisecond-1, time.Hour)/time.Millisecond))
}

// moveOn continues the sessions whose turn was over before their data was.
func (l *loop) moveOn() {
	waiting := l.again
	l.again = l.served[:0]
	for i, s := range waiting {
		waiting[i] = nil
		s.queued = false
		for k := range s.halves {
			if s.state == joined && s.halves[k].postponed {
				s.halves[k].postponed = false
				l.settle(s, l.carry(s, k))
			}
		}
	}
	l.served = waiting
}

// expire ends what has run out of time, and lets listeners that were paused try again.
func (l *loop) expire() {
	for len(l.timers) > 0 && l.timers[0].when <= l.now {
		s := l.timers[0].s
		due, end := s.due()
		switch {
		case due > l.now:
			l.timers.postpone(due)
		case s.state == settingUp:
			l.timers.remove(s)
			l.resume(s)
		default:
			l.finish(s, end)
		}
	}
	for _, d := range l.acceptors {
		if d.paused && d.retry <= l.now {
			l.openDoor(d)
		}
	}
}

// report publishes what was moved, and gives sessions that have lived for a while their keepalive: the short ones are
// spared its system calls.
func (l *loop) report() {
	if len(l.dirty) == 0 && len(l.idle) <= fewCoroutines || l.now < l.publish {
		return
	}
	for i, s := range l.dirty {
		l.dirty[i] = nil
		s.dirty = 0
		s.publish()
		if s.keepalive != nil {
			watchOver(s.halves[0].dst, *s.keepalive)
			s.keepalive = nil
		}
	}
	l.dirty = l.dirty[:0]
	l.publish = l.now + int64(publishing)
	l.dismissUnused()
}

func (l *loop) soil(s *session) {
	if s.dirty != 0 {
		return
	}
	if len(l.dirty) == 0 {
		l.publish = l.now + int64(publishing)
	}
	l.dirty = append(l.dirty, s)
	s.dirty = int32(len(l.dirty))
}

func (l *loop) clean(s *session) {
	if s.dirty == 0 {
		return
	}
	last := len(l.dirty) - 1
	l.dirty[s.dirty-1] = l.dirty[last]
	l.dirty[s.dirty-1].dirty = s.dirty
	l.dirty[last] = nil
	l.dirty = l.dirty[:last]
	s.dirty = 0
}

// watch puts a socket under the loop's eyes and returns its slot.
func (l *loop) watch(fd int32, s *session, events uint32) (uint32, syscall.Errno) {
	var i uint32
	if n := len(l.freeSlots); n > 0 {
		i = l.freeSlots[n-1]
		l.freeSlots = l.freeSlots[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	l.slots[i].s = s
	errno := l.control(unix.EPOLL_CTL_ADD, fd, i, events)
	if errno != 0 {
		l.forget(i)
	}
	return i, errno
}

func (l *loop) forget(i uint32) {
	at := &l.slots[i]
	at.s = nil
	at.generation = (at.generation + 1) & (1<<31 - 1)
	l.freeSlots = append(l.freeSlots, i)
}

func (l *loop) control(op int, fd int32, i uint32, events uint32) syscall.Errno {
	e := unix.EpollEvent{Events: events, Fd: int32(i), Pad: l.slots[i].generation}
	if err := unix.EpollCtl(l.epoll, op, int(fd), &e); err != nil {
		return err.(syscall.Errno)
	}
	return 0
}

// post has f run on the loop; false means that the loop has ended and f never runs.
func (l *loop) post(f func()) bool {
	l.mail.Lock()
	defer l.mail.Unlock()
	if l.mail.closed {
		return false
	}
	l.mail.posts = append(l.mail.posts, f)
	if len(l.mail.posts) == 1 {
		one := [8]byte{1}
		_, _ = unix.Write(l.mailbox, one[:])
	}
	return true
}

func (l *loop) readMail() {
	var count [8]byte
	_, _ = unix.Read(l.mailbox, count[:])
	l.mail.Lock()
	posts := l.mail.posts
	l.mail.posts = nil
	l.mail.Unlock()
	for _, f := range posts {
		f()
	}
}

// stop cuts all sessions; the loop ends when the last of them has.
func (l *loop) stop() {
	l.stopping = true
	for i := range l.slots {
		if s := l.slots[i].s; s != nil {
			l.cut(s, Drained)
		}
	}
	for len(l.timers) > 0 { // set-ups that wait, and have closed their sockets
		l.cut(l.timers[0].s, Drained)
	}
}

func (l *loop) free() {
	l.mail.Lock()
	l.mail.closed = true
	posts := l.mail.posts
	l.mail.posts = nil
	l.mail.Unlock()
	for _, f := range posts {
		f()
	}
	for _, c := range l.idle {
		c.stop()
	}
	l.pipes.close()
	unix.Close(l.mailbox)
	unix.Close(l.epoll)
}
