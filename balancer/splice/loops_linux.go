package splice

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const loopsSupported = true

// loops is the engine of event loops.
type loops struct {
	loops    []*loop
	running  sync.WaitGroup
	epoch    time.Time
	panicked func(any, []byte)
}

func newLoops(o Options) (Engine, error) {
	e := &loops{epoch: time.Now(), panicked: o.Panicked}
	for range o.Loops {
		l, err := newLoop(e, o)
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("splice: event loop: %w", err)
		}
		e.loops = append(e.loops, l)
		e.running.Add(1)
		go l.run()
	}
	return e, nil
}

// clock is the engine's time, in nanoseconds since it started; it never goes back.
func (e *loops) clock() int64 { return int64(time.Since(e.epoch)) }

func (e *loops) Sessions() []int {
	counts := make([]int, len(e.loops))
	for i, l := range e.loops {
		counts[i] = int(l.sessions.Load())
	}
	return counts
}

func (e *loops) Close() {
	for _, l := range e.loops {
		l.post(l.stop)
	}
	e.running.Wait()
}

// lightest is the loop that takes the next session: the one that accepted it, unless another one has so much less
// to carry that the hand-over pays. The margin keeps all loops within a few percent of each other, and hand-overs rare
// where sessions are short.
func (e *loops) lightest(own *loop) *loop {
	best, fewest := own, own.sessions.Load()
	fewest -= 2 + fewest/32
	for _, l := range e.loops {
		if n := l.sessions.Load(); l != own && n < fewest {
			best, fewest = l, n
		}
	}
	return best
}

// acceptor is one listening socket; every loop has a door to it.
type acceptor struct {
	engine  *loops
	fd      int32
	address netip.AddrPort
	setup   Setup
	close   sync.Once

	trouble struct {
		sync.Mutex
		tell func(error)
		told bool
	}
}

// door is a loop's view of an acceptor.
type door struct {
	*acceptor
	paused bool
	pause  time.Duration // grows while accepting fails
	retry  int64         // when to look again
	failed int64         // when accepting failed last; 0 when that was told to be over
}

const (
	shortestPause = 10 * time.Millisecond
	longestPause  = time.Second
	// calm is how long accepting must not have failed to be well again: where descriptors are short, each session
	// that ends lets one more in, and nobody wants to read of it.
	calm = 5 * time.Second
)

func (e *loops) Listen(o ListenOptions, setup Setup) (Acceptor, error) {
	fd, err := listen(o)
	if err != nil {
		return nil, err
	}
	a := &acceptor{engine: e, fd: fd, address: localAddress(fd), setup: setup}
	a.trouble.tell = o.Trouble
	for _, l := range e.loops {
		l.post(func() {
			d := &door{acceptor: a}
			l.acceptors = append(l.acceptors, d)
			l.openDoor(d)
		})
	}
	return a, nil
}

// listen opens the socket, or takes the one given. What the sockets accepted from it inherit is set here: no delay and
// keepalive.
func listen(o ListenOptions) (fd int32, err error) {
	if o.File != nil {
		dup, err := unix.FcntlInt(o.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("splice: inherited listener %s: %w", o.Address, err)
		}
		fd = int32(dup)
		err = unix.SetNonblock(dup, true)
		if err == nil {
			setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			watchOver(fd, Keepalive{Idle: o.Keepalive})
		}
		return fd, err
	}
	fd, errno := newSocket(o.Address)
	if errno != 0 {
		return -1, fmt.Errorf("splice: listen on %s: %w", o.Address, errno)
	}
	defer func() {
		if err != nil {
			closeFD(fd)
		}
	}()
	setInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if o.Address.Addr().Is6() {
		only := 1
		if o.Address.Addr().IsUnspecified() {
			only = 0
		}
		setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if o.FreeBind && o.Address.Addr().Is4() {
		setInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	} else if o.FreeBind {
		setInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
	}
	setInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	watchOver(fd, Keepalive{Idle: o.Keepalive})
	if errno := bind(fd, o.Address); errno != 0 {
		return fd, fmt.Errorf("splice: listen on %s: %w", o.Address, errno)
	}
	backlog := o.Backlog
	if backlog <= 0 {
		backlog = 4096
	}
	if err := unix.Listen(int(fd), backlog); err != nil {
		return fd, fmt.Errorf("splice: listen on %s: %w", o.Address, err)
	}
	return fd, nil
}

func (a *acceptor) Address() netip.AddrPort { return a.address }

func (a *acceptor) File() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("splice: duplicate the listener %s: %w", a.address, err)
	}
	return os.NewFile(uintptr(fd), a.address.String()), nil
}

func (a *acceptor) Close() {
	a.close.Do(func() {
		var gone sync.WaitGroup
		for _, l := range a.engine.loops {
			gone.Add(1)
			if !l.post(func() { l.removeDoor(a); gone.Done() }) {
				gone.Done()
			}
		}
		gone.Wait()
		closeFD(a.fd)
	})
}

// openDoor lets the loop hear of the acceptor's connections: only one of the loops that sleep is woken for each.
func (l *loop) openDoor(d *door) {
	d.paused = false
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: d.fd, Pad: acceptorEvent}
	_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, int(d.fd), &e)
}

// removeDoor takes what the kernel has completed already, so that nobody who was let in is turned away.
func (l *loop) removeDoor(a *acceptor) {
	for i, d := range l.acceptors {
		if d.acceptor != a {
			continue
		}
		for l.acceptOne(d) {
		}
		if !d.paused {
			_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(a.fd), nil)
		}
		l.acceptors = append(l.acceptors[:i], l.acceptors[i+1:]...)
		return
	}
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
	case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
		l.pauseDoor(d, errno)
		return false
	default: // somebody else took it, or the client has gone already
		return errno == unix.ECONNABORTED
	}
	d.pause = 0
	if d.failed != 0 && l.now-d.failed > int64(calm) {
		d.failed = 0
		d.report(nil)
	}
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
	d.pause = min(max(2*d.pause, shortestPause), longestPause)
	d.failed, d.retry = l.now, l.now+int64(d.pause)
	if !d.paused {
		d.paused = true
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, int(d.fd), nil)
	}
	d.report(errno)
}

// report tells of trouble once, whichever loop meets it, and once of its end.
func (a *acceptor) report(err error) {
	t := &a.trouble
	t.Lock()
	defer t.Unlock()
	if t.tell == nil || t.told == (err != nil) {
		return
	}
	t.told = err != nil
	if errors.Is(err, unix.EMFILE) {
		err = fmt.Errorf("%w (raise the limit of open files, LimitNOFILE= or ulimit -n)", err)
	}
	t.tell(err)
}
