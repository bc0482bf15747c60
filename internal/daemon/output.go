package daemon

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// outputBuffer is when session lines are written out at the latest: some 200 of them, one call to the kernel.
	outputBuffer = 64 << 10
	// outputDelay is how long a session line may wait for company. A person who watches does not notice it.
	outputDelay = 200 * time.Millisecond
	// outputMost bounds what waits while the log can't be written: some 16,000 lines of sessions. More of them are dropped,
	// and counted.
	outputMost = 4 << 20
	// outputReserve is room on top of that for all lines but those of sessions, which are few and matter more.
	outputReserve = 1 << 20
	// outputFarewell is how long the end waits for a log that takes nothing.
	outputFarewell = 2 * time.Second
)

// output is where the log goes. Nobody who logs waits for it: lines are gathered in memory, and one goroutine writes them
// out. So a full pipe, a stopped terminal or a slow disk holds up no session and no lock. Lines keep their order; those of
// sessions, which may come by the thousand, wait a moment so that many leave in one write, and all others take what waits
// along at once. What can't be kept is dropped and counted, and the next line that can be written tells how many.
type output struct {
	tell func(to io.Writer, lost uint64, why error) // writes the line that tells of losses
	wake chan struct{}                              // there is something to write now
	stop chan struct{}
	done chan struct{}

	mu struct {
		sync.Mutex
		to      io.Writer
		old     []io.Closer // files that were replaced, to be closed between two writes
		waiting []byte
		timer   *time.Timer // set while only lines that are in no hurry wait
		lost    uint64      // lines
		why     error       // the latest error of a write among the reasons for that
		closed  bool        // nothing is taken any more
	}
	// What follows is the goroutine's own.
	writing []byte
	torn    bool // the latest write has ended within a line
}

// newOutput returns an output that writes to to. Close must be called.
func newOutput(to io.Writer, tell func(to io.Writer, lost uint64, why error)) *output {
	o := &output{tell: tell, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	o.mu.to = to
	go o.run()
	return o
}

// Write takes a line that is to be written now. It never waits, and always succeeds.
func (o *output) Write(line []byte) (int, error) {
	o.take(line, outputMost+outputReserve, true)
	return len(line), nil
}

// patient is the output as the lines of sessions see it.
type patient struct{ *output }

// Write takes a line that is to be written soon.
func (p patient) Write(line []byte) (int, error) {
	p.take(line, outputMost, false)
	return len(line), nil
}

// take adds a line to those that wait, if they have not more than most bytes then.
func (o *output) take(line []byte, most int, now bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.closed || len(o.mu.waiting)+len(line) > most {
		o.mu.lost++
		return
	}
	o.mu.waiting = append(o.mu.waiting, line...)
	switch {
	case now || len(o.mu.waiting) >= outputBuffer:
		o.hurry()
	case o.mu.timer == nil:
		o.mu.timer = time.AfterFunc(outputDelay, o.hurry)
	}
}

// hurry wakes the goroutine.
func (o *output) hurry() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *output) run() {
	defer close(o.done)
	for {
		select {
		case <-o.wake:
			o.write()
		case <-o.stop:
			o.write()
			return
		}
	}
}

// write writes out what waits.
func (o *output) write() {
	to, old, lost, why := o.gather()
	for _, f := range old {
		_ = f.Close()
		o.torn = false // what is written now is written elsewhere
	}
	if len(o.writing) > 0 {
		if n, err := o.put(to, o.writing); err != nil {
			o.lose(bytes.Count(o.writing[n:], []byte{'\n'}), err)
		}
	}
	if lost == 0 {
		return
	}
	var line bytes.Buffer
	o.tell(&line, lost, why)
	if _, err := o.put(to, line.Bytes()); err != nil {
		o.lose(int(lost), err)
	}
}

// put writes whole lines, and how much of them could be written. A line that was cut short before, as by a full disk, ends first.
func (o *output) put(to io.Writer, lines []byte) (int, error) {
	if o.torn {
		if _, err := to.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		o.torn = false
	}
	n, err := to.Write(lines)
	n = min(max(n, 0), len(lines))
	o.torn = n > 0 && lines[n-1] != '\n'
	return n, err
}

// gather takes what waits, and what has been lost up to now.
func (o *output) gather() (to io.Writer, old []io.Closer, lost uint64, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.timer != nil {
		o.mu.timer.Stop()
		o.mu.timer = nil
	}
	o.mu.waiting, o.writing = o.writing[:0], o.mu.waiting
	if cap(o.mu.waiting) > 2*outputBuffer { // left from a time of trouble
		o.mu.waiting = nil
	}
	to, old, lost, why = o.mu.to, o.mu.old, o.mu.lost, o.mu.why
	o.mu.old, o.mu.lost, o.mu.why = nil, 0, nil
	return to, old, lost, why
}

func (o *output) lose(lines int, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.lost += uint64(lines)
	o.mu.why = why
}

// redirect has all lines from now on written to another place, and closes the old one once nothing is written there any
// more.
func (o *output) redirect(to io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.mu.to.(io.Closer); ok {
		o.mu.old = append(o.mu.old, c)
	}
	o.mu.to = to
	o.hurry()
}

// Close writes what waits, but does not wait for ever for a place that takes nothing. Later lines are lost.
func (o *output) Close() {
	o.mu.Lock()
	first := !o.mu.closed
	o.mu.closed = true
	o.mu.Unlock()
	if first {
		close(o.stop)
	}
	farewell := time.NewTimer(outputFarewell)
	defer farewell.Stop()
	select {
	case <-o.done:
	case <-farewell.C:
	}
}

// logFileMode lets the group read, for those who collect logs.
const logFileMode = 0o640

// openLog opens a log file, to go on at its end.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, logFileMode)
}
