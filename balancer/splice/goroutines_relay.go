package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"fairlead/balancer/idle"
)

const (
	portableBuffer = 32 << 10
	// chunk is what a bulk copy moves before it looks around; on Linux package net splices it.
	chunk = 1 << 20
)

var portableBuffers = sync.Pool{New: func() any { return new([portableBuffer]byte) }}

// relay is a joined session of the portable engine: a goroutine for each direction, and a timer that publishes
// and watches the time.
type relay struct {
	link  *link
	joint *Joint
	ends  [2]*net.TCPConn
	quiet [2]bool // the direction has ended, and held nothing

	mu struct {
		sync.Mutex
		active   time.Time
		moved    [2]uint64
		told     [2]uint64
		last     int
		turns    int
		finished [2]bool
		first    int
		end      End
		idler    idle.Tracker
		unseen   [2]bool
	}
}

func newRelay(l *link, to *netConn) *relay {
	r := &relay{link: l, joint: l.joint, ends: [2]*net.TCPConn{l.client.tcp, to.tcp}}
	r.mu.active, r.mu.turns, r.mu.last, r.mu.idler = time.Now(), l.joint.Turns, -1, l.joint.Idler
	for _, c := range r.ends {
		_ = c.SetDeadline(time.Time{})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.server = to.tcp
	if l.mu.keepalive == nil {
		l.mu.keepalive = l.joint.Keepalive
	}
	if l.mu.keepalive != nil {
		netKeepalive(to.tcp, *l.mu.keepalive)
	}
	return r
}

// run carries both directions to their end.
func (r *relay) run() End {
	var directions sync.WaitGroup
	for k := range r.ends {
		directions.Add(1)
		go func() {
			defer directions.Done()
			r.carry(k)
		}()
	}
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Add(1)
	go func() {
		defer watcher.Done()
		r.watch(done)
	}()
	directions.Wait()
	close(done)
	watcher.Wait()
	return r.close()
}

func (r *relay) close() End {
	r.link.mu.Lock()
	r.link.mu.server = nil
	r.link.mu.Unlock()
	r.publish()
	end := r.mu.end
	if end == Unfinished {
		end = ClientClosed + End(r.mu.first)
	}
	for side, c := range r.ends {
		if !r.mu.finished[1-side] && mustReset(side, end, r.quiet[client] && r.quiet[server]) {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
	return end
}

// carry moves one direction until its source finishes or the session breaks.
func (r *relay) carry(k int) {
	src, dst := r.ends[k], r.ends[1-k]
	for bulk := false; ; {
		var side int
		var err error
		if bulk {
			side, err = r.copyChunk(k, src, dst)
			bulk = err == nil
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = nil
			}
		} else {
			bulk, side, err = r.copyOnce(k, src, dst)
		}
		if err == io.EOF {
			r.passOnEnd(k, src, dst)
			return
		}
		if err != nil {
			r.fail(broken(side, err))
			return
		}
		if r.over() {
			return
		}
	}
}

// passOnEnd tells dst that src has finished, if that is what the end means: where a write to src has met its reset, a read
// finds only the end. A reset that came after a FIN has its error pending still.
func (r *relay) passOnEnd(k int, src, dst *net.TCPConn) {
	gone := disconnected(src) && !r.finished(1-k)
	if gone && pendingError(src) == nil {
		r.fail(ClientReset + End(k))
		return
	}
	if r.finish(k) {
		r.fail(ClientClosed)
		return
	}
	r.quiet[k] = true
	_ = dst.CloseWrite()
	if gone {
		r.fail(ClientReset + End(k))
	}
}

// copyOnce reads and writes once; full tells that there was more than a buffer. side is where an error came from.
func (r *relay) copyOnce(k int, src, dst *net.TCPConn) (full bool, side int, err error) {
	b := portableBuffers.Get().(*[portableBuffer]byte)
	defer portableBuffers.Put(b)
	r.readUntil(src, time.Time{})
	n, err := src.Read(b[:])
	if n == 0 {
		r.quiet[k] = true
		return false, k, err
	}
	r.moved(k, n, b[:n])
	if _, err := dst.Write(b[:n]); err != nil {
		return false, 1 - k, err
	}
	return n == len(b), k, nil
}

// copyChunk lets package net move up to a chunk, for a second at most so that the counts are not old.
func (r *relay) copyChunk(k int, src, dst *net.TCPConn) (side int, err error) {
	r.readUntil(src, time.Now().Add(publishingEvery))
	r.unseen(k, true)
	n, err := io.CopyN(dst, src, chunk)
	r.moved(k, int(n), nil)
	r.unseen(k, false)
	if err == nil || err == io.EOF {
		return k, err
	}
	return sideOf(err, k, src), err
}

// publishingEvery is the time between two reports of bytes moved.
const publishingEvery = time.Second

// unseen notes that bytes may be moved that are not accounted for yet.
func (r *relay) unseen(k int, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.unseen[k] = on
}

// readUntil sets a read deadline, but not for a session that has ended: that has one long past, for good.
func (r *relay) readUntil(src *net.TCPConn, deadline time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.end == Unfinished {
		_ = src.SetReadDeadline(deadline)
	}
}

// moved notes that n bytes have been read; seen is nil where they were moved within the kernel.
func (r *relay) moved(k, n int, seen []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == 0 {
		return
	}
	switch {
	case seen == nil:
		r.mu.idler.Unseen(k == client, n)
	case k == client:
		r.mu.idler.Client(seen)
	default:
		r.mu.idler.Server(seen)
	}
	r.mu.active = time.Now()
	r.mu.moved[k] += uint64(n)
	if r.mu.turns > 0 && r.mu.last != k {
		r.mu.last = k
		r.mu.turns--
	}
}

// finish notes that a side has finished; over tells that this is the end of a settled session.
func (r *relay) finish(k int) (over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.finished[k] = true
	r.mu.active = time.Now()
	if !r.mu.finished[1-k] {
		r.mu.first = k
	}
	return k == client && r.joint.Settled && r.mu.moved == [2]uint64{}
}

func (r *relay) finished(k int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.finished[k]
}

func (r *relay) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.end != Unfinished
}

// fail ends the session early: both directions' waits are cut short. The first reason stands.
func (r *relay) fail(end End) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failLocked(end)
}

func (r *relay) failLocked(end End) {
	if r.mu.end != Unfinished {
		return
	}
	r.mu.end = end
	for _, c := range r.ends {
		_ = c.SetDeadline(past)
	}
}

func (r *relay) publish() {
	r.mu.Lock()
	up, down := r.mu.moved[client]-r.mu.told[client], r.mu.moved[server]-r.mu.told[server]
	r.mu.told = r.mu.moved
	r.mu.Unlock()
	if up+down > 0 {
		r.joint.Owner.Moved(up, down)
	}
}

// watch publishes once a second, and ends the session when its time is over or it is cut.
func (r *relay) watch(done <-chan struct{}) {
	tick := time.NewTimer(r.patience())
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-r.link.over.Done():
			r.link.mu.Lock()
			end := r.link.mu.end
			r.link.mu.Unlock()
			r.fail(end)
			<-done
			return
		case <-tick.C:
			r.publish()
			if end := r.overdue(); end != Unfinished {
				r.fail(end)
			}
			tick.Reset(r.patience())
		}
	}
}

// patience is the time to the next look.
func (r *relay) patience() time.Duration {
	wait := publishingEvery
	for _, d := range []time.Duration{r.joint.Idle, r.joint.Linger} {
		if d > 0 {
			wait = min(wait, max(d/4, time.Millisecond))
		}
	}
	if r.joint.Turns > 0 {
		wait = min(wait, max(time.Until(r.joint.Proof), time.Millisecond))
	}
	return wait
}

func (r *relay) overdue() End {
	r.mu.Lock()
	defer r.mu.Unlock()
	silent := time.Since(r.mu.active)
	switch half := r.mu.finished[client] || r.mu.finished[server]; {
	case r.mu.turns > 0 && time.Now().After(r.joint.Proof):
		return Unproven
	case half && r.joint.Linger > 0 && silent >= r.joint.Linger:
		return LingerTimeout
	case r.joint.Idle > 0 && silent >= r.joint.Idle:
		return IdleTimeout
	}
	return Unfinished
}

// sideOf tells which side's socket an error of io.CopyN came from. Package net says read or write, unless it spliced.
func sideOf(err error, k int, src *net.TCPConn) int {
	var op *net.OpError
	for inner := err; errors.As(inner, &op); inner = op.Err {
		switch op.Op {
		case "read":
			return k
		case "write":
			return 1 - k
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || disconnected(src) {
		return k
	}
	return 1 - k
}
