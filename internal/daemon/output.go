package daemon

import (
	"io"
	"sync"
	"time"
)

const (
	// outputBuffer is when session lines are written out at the latest: some 200 of them, one call to the kernel.
	outputBuffer = 64 << 10
	// outputDelay is how long a session line may wait for company. A person who watches does not notice it.
	outputDelay = 200 * time.Millisecond
)

// output is where the log goes. Lines keep their order; those of sessions, which may come by the thousand, wait a
// moment so that many leave in one write, and all others take what waits along at once.
type output struct {
	to io.Writer

	mu struct {
		sync.Mutex
		waiting []byte
		timer   *time.Timer // set while something waits
		closed  bool
	}
}

func newOutput(to io.Writer) *output { return &output{to: to} }

// Write writes a line now.
func (o *output) Write(line []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.waiting = append(o.mu.waiting, line...)
	return len(line), o.flush()
}

// flush writes what waits. The lock is held.
func (o *output) flush() error {
	if o.mu.timer != nil {
		o.mu.timer.Stop()
		o.mu.timer = nil
	}
	if len(o.mu.waiting) == 0 {
		return nil
	}
	_, err := o.to.Write(o.mu.waiting)
	o.mu.waiting = o.mu.waiting[:0] // also after an error: a log that can't be written must not grow
	return err
}

// Close writes what waits. Later lines are written one by one.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.closed = true
	return o.flush()
}

// patient is the output as the lines of sessions see it.
type patient struct{ *output }

// Write writes a line soon.
func (p patient) Write(line []byte) (int, error) {
	o := p.output
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.waiting = append(o.mu.waiting, line...)
	switch {
	case len(o.mu.waiting) >= outputBuffer || o.mu.closed:
		return len(line), o.flush()
	case o.mu.timer == nil:
		o.mu.timer = time.AfterFunc(outputDelay, o.flushLate)
	}
	return len(line), nil
}

func (o *output) flushLate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.flush() // there is nobody to tell, other than this very log
}
