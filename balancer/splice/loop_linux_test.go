package splice

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// withLoop runs a test on an engine of one loop.
func withLoop(t *testing.T, o Options, test func(e *loops, l *loop)) {
	t.Helper()
	o.Kind, o.Loops = "loops", 1
	withEngine(t, o, func(e Engine) { test(e.(*loops), e.(*loops).loops[0]) })
}

// on runs f on the loop, where a loop's and its sessions' fields may be looked at, and waits for it.
func (l *loop) on(f func()) {
	done := make(chan struct{})
	l.post(func() { defer close(done); f() })
	<-done
}

// hold stops the loop until release is called: what happens meanwhile, it finds all at once.
func (l *loop) hold() (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	l.post(func() { close(held); <-free })
	<-held
	return sync.OnceFunc(func() { close(free) })
}

// until waits until a condition holds on the loop.
func (l *loop) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	eventually(t, what, func() (is bool) { l.on(func() { is = ok() }); return is })
}

func init() {
	portable := squeeze
	squeeze = func(c Conn) {
		if c, ok := c.(*conn); ok {
			setInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
			return
		}
		portable(c)
	}
}

// An event of a slot's earlier socket is none of its present one's.
func TestEventsOfEarlierSocketsAreIgnored(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		s := r.task.(*session)
		l.until(t, "the join", func() bool { return s.state == joined })
		l.on(func() {
			slot := s.halves[client].slot
			stale := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLERR | unix.EPOLLHUP | unix.EPOLLRDHUP,
				Fd: int32(slot), Pad: l.slots[slot].generation - 1}
			l.event(&stale)
			if h := s.halves[client]; h.hup || h.failed || h.readable {
				t.Error("an event of an earlier generation reached the session")
			}
			l.forget(slot)
			stale.Pad++
			l.event(&stale) // of a slot that is free
			if i, errno := l.watch(int32(l.mailbox), s, 0); i != slot || errno == 0 {
				t.Errorf("got slot %d, %v; want %d, and an error for what is watched already", i, errno, slot)
			}
			l.slots[slot].s, l.freeSlots = s, l.freeSlots[:len(l.freeSlots)-1]
		})
		reset(r.client)
		eventually(t, "the loop to leave the session alone", func() bool { return e.Sessions()[0] == 1 })
		r.task.Cut(Killed)
		wantEnd(t, r, Killed)
	})
}

// Whoever posts to a loop that has ended is told so.
func TestPostToALoopThatHasEnded(t *testing.T) {
	e, err := New(Options{Kind: "loops", Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	r := connectThrough(t, e, nil)
	mustWrite(t, r.client, "x")
	mustRead(t, r.server, "x")
	e.Close()
	wantEnd(t, r, Drained)
	if e.(*loops).loops[0].post(func() { t.Error("ran") }) {
		t.Error("a loop that has ended takes posts")
	}
	r.task.Cut(Killed)
	r.task.Wake()
	r.task.Keepalive(Keepalive{Idle: time.Second})
	e.Close()
}

// A connection that the loop can't watch is given up, and counted no longer.
func TestConnectionThatCannotBeWatched(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		l.on(func() {
			l.sessions.Add(1)
			l.begin(func(Task) { t.Error("its set-up has begun") }, -1, netip.AddrPort{})
		})
		if n := sessions(e); n != 0 {
			t.Errorf("%d sessions", n)
		}
		r := connectThrough(t, e, nil) // with the coroutine that was meant for it
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
	})
}

// A set-up that begins late in a batch has all of its time.
func TestSetupBeginsByTheClock(t *testing.T) {
	withLoop(t, Options{}, func(_ *loops, l *loop) {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[1])
		l.on(func() {
			l.time, l.now = l.time.Add(-time.Hour), l.now-int64(time.Hour) // the batch has taken that long
			l.sessions.Add(1)
			before := time.Now()
			l.begin(func(task Task) {
				if now := task.Now(); now.Before(before) {
					t.Errorf("the set-up begins %v ago", before.Sub(now))
				}
			}, int32(pair[0]), netip.AddrPort{})
		})
	})
}

// A loop does not wait longer for what is due because its last batch has taken long.
func TestWaitAfterALongBatch(t *testing.T) {
	withLoop(t, Options{}, func(_ *loops, l *loop) {
		done := make(chan struct{})
		l.post(func() {
			defer close(done)
			s := new(session)
			l.look()
			due := l.now
			l.timers.set(s, due)
			defer l.timers.remove(s)
			l.now -= int64(time.Hour)
			if n := l.await(make([]unix.EpollEvent, batch)); n != 0 || l.now < due {
				t.Errorf("%d events, %v before the deadline", n, time.Duration(due-l.now))
			}
		})
		await(t, "the deadline", done)
	})
}
