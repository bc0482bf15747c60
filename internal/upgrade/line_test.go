package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience only ends a test that hangs.
const patience = 30 * time.Second

// lineOf gives both ends of a line.
func lineOf(t *testing.T) (*Line, *Line) {
	t.Helper()
	ours, file, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	theirs, err := newLine(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ours.Close)
	t.Cleanup(theirs.Close)
	return ours, theirs
}

// TestSocketsArrive: many listening sockets go over a line, each in its place, work there, and stay non-blocking.
func TestSocketsArrive(t *testing.T) {
	const many = 2*descriptorsAtOnce + 3
	ours, theirs := lineOf(t)
	var offer Message
	var listeners []*net.TCPListener
	var sockets []syscall.Conn
	for i := range many {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners, sockets = append(listeners, l.(*net.TCPListener)), append(sockets, l.(*net.TCPListener))
		offer.Sockets = append(offer.Sockets, Socket{Owner: fmt.Sprint(i), Bind: l.Addr().String()})
	}
	offer.Kind = Offer
	sent := make(chan error, 1)
	go func() { sent <- ours.Send(offer, sockets...) }()
	p, err := meet(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	for i, s := range offer.Sockets {
		taken, err := net.FileListener(p.Take(s.Owner, s.Bind))
		if err != nil {
			t.Fatal(err)
		}
		if taken.Addr().String() != s.Bind {
			t.Errorf("socket %d listens on %v, not on %v", i, taken.Addr(), s.Bind)
		}
		taken.Close()
	}
	// The socket is shared: were it blocking, this would hang.
	_ = listeners[0].SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := listeners[0].Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept: %v", err)
	}
	for i, s := range offer.Sockets {
		if p.Take(s.Owner, s.Bind) == nil {
			t.Errorf("socket %d can't be taken once more by the same owner", i)
		}
	}
	p.giveUp()
	if p.Take("0", offer.Sockets[0].Bind) != nil {
		t.Error("a socket can be taken that was given up")
	}
}

// TestTake: a socket goes to its owner, or to another one at the same address; where the kernel chose the port only to its owner.
func TestTake(t *testing.T) {
	var nobody *Predecessor
	if nobody.Take("admin", "127.0.0.1:1") != nil {
		t.Error("nobody has a socket")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	p := &Predecessor{Offer: Message{Sockets: []Socket{{"listener a", "10.0.0.1:9030"}, {"listener a", "127.0.0.1:0"}}},
		files: []*os.File{null, other}, taken: make([]string, 2)}
	defer p.giveUp()
	for _, c := range []struct {
		owner, bind string
		want        *os.File
	}{
		{"listener b", "127.0.0.1:0", nil},
		{"listener a", "127.0.0.1:0", other},
		{"listener b", "10.0.0.2:9030", nil},
		{"listener b", "10.0.0.1:9030", null},
		{"listener b", "10.0.0.1:9030", null},
		{"listener c", "10.0.0.1:9030", nil},
	} {
		if got := p.Take(c.owner, c.bind); got != c.want {
			t.Errorf("%s at %s takes %v", c.owner, c.bind, got)
		}
	}
}

// TestPause: a line is given from one reader to another between two messages, and none is lost.
func TestPause(t *testing.T) {
	ours, theirs := lineOf(t)
	const messages = 2000
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := ours.Send(Message{Kind: Counts, PID: i + 1}); err != nil {
				sent <- err
				return
			}
		}
		ours.Close()
		sent <- nil
	}()
	next := 1
	read := func() error {
		for {
			m, _, err := theirs.Receive(time.Now().Add(patience))
			if err != nil {
				return err
			}
			if m.PID != next {
				return fmt.Errorf("message %d came after message %d", m.PID, next-1)
			}
			next++
		}
	}
	for {
		over := make(chan error, 1)
		go func() { over <- read() }()
		theirs.Pause()
		err := <-over
		theirs.Unpause()
		if errors.Is(err, io.EOF) {
			break
		}
		if !errors.Is(err, ErrPaused) {
			t.Fatal(err)
		}
		if m, _, err := theirs.Receive(time.Now().Add(patience)); err == nil && m.PID == next {
			next++
		} else if !errors.Is(err, io.EOF) {
			t.Fatal(m, err)
		}
	}
	if err := <-sent; err != nil || next != messages+1 {
		t.Errorf("%d messages came: %v", next-1, err)
	}
}

// TestStandstill: a message for which the time was over before it could be written or read arrives all the same, with its
// descriptors, as after a standstill of the machine.
func TestStandstill(t *testing.T) {
	ours, theirs := lineOf(t)
	ours.due, theirs.due = -time.Hour, -time.Hour
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for i := range 3 {
		if err := ours.Send(Message{Kind: Offer, PID: i, Sockets: []Socket{{Owner: "admin"}}}, l.(*net.TCPListener)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		m, files, err := theirs.Receive(time.Unix(1, 0))
		if err != nil || m.PID != i || len(files) != 1 {
			t.Fatalf("message %d: %+v, %d descriptors, %v", i, m, len(files), err)
		}
		files[0].Close()
	}
	if _, _, err := theirs.Receive(time.Unix(1, 0)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("without a message: %v", err)
	}
}

// TestWhoDoesNotRead: a process that does not read costs messages, and holds nobody up for ever; what it reads later is whole.
func TestWhoDoesNotRead(t *testing.T) {
	ours, theirs := lineOf(t)
	ours.due = 10 * time.Millisecond
	long := Message{Kind: Failed, Error: strings.Repeat("x", 100_000)}
	sent := 0
	for err := error(nil); err == nil; sent++ {
		if sent > 1000 {
			t.Fatal("there is room for everything")
		}
		if err = ours.Send(long); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	ours.due = patience
	last := make(chan error, 1)
	go func() { last <- ours.Send(Message{Kind: Counts, PID: 7}) }()
	for {
		m, _, err := theirs.Receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == Counts && m.PID == 7 {
			break
		}
		if m.Kind != Failed || m.Error != long.Error {
			t.Fatalf("a message of %d bytes came", len(m.Error))
		}
		sent--
	}
	if err := <-last; err != nil || sent < 0 || sent > 1 { // one may have been lost
		t.Errorf("%d messages are lost: %v", sent, err)
	}
}

// TestEnds: the end of the other process is told as such, in the midst of a message too.
func TestEnds(t *testing.T) {
	ours, theirs := lineOf(t)
	if _, err := ours.conn.Write(framed(`{"version":1}`, 0)[:10]); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	if _, _, err := theirs.Receive(time.Now().Add(patience)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
	ours, theirs = lineOf(t)
	ours.Close()
	if _, _, err := theirs.Receive(time.Time{}); !Gone(err) {
		t.Errorf("ended: %v", err)
	}
	if _, _, err := theirs.Receive(time.Unix(1, 0)); err == nil {
		t.Error("a deadline that is over gives no error")
	}
	p := &Predecessor{Line: theirs}
	if _, _, err := p.Serve("1"); err != nil {
		t.Errorf("a process that goes on alone: %v", err)
	}
}

// TestAnswerAtTheLastMoment: the time is over just as the answer comes. Whichever wins, a line that is used on is not paused.
func TestAnswerAtTheLastMoment(t *testing.T) {
	for range 300 {
		ours, theirs := lineOf(t)
		ctx, cancel := context.WithCancel(t.Context())
		var peer sync.WaitGroup
		peer.Go(func() {
			if _, _, err := theirs.Receive(time.Time{}); err != nil {
				t.Error(err)
			}
			if err := theirs.Send(Message{Kind: Serving}); err != nil {
				t.Error(err)
			}
			cancel()
			if err := theirs.Send(Message{Kind: Counts}); err != nil {
				t.Error(err)
			}
		})
		h := &Heir{Line: ours}
		err := h.negotiate(ctx, Start{})
		peer.Wait()
		if err == nil {
			runtime.Gosched() // to whoever would still pause it
			_, _, err = h.Receive(time.Now().Add(patience))
			if err != nil {
				t.Fatalf("a line in use: %v", err)
			}
		}
		ours.Close()
		theirs.Close()
	}
}
