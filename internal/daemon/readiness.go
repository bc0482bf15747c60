package daemon

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// What the readiness file holds, as keepalived's track_file reads it: the value is added to the priority of a node, and
// less than -253 takes it out.
const (
	readyText    = "0\n"
	notReadyText = "-254\n"
)

// readinessEvery is how often the file is looked at without an occasion. Changes of backends are told at once; this is for
// those that nobody tells, and for files that somebody else has changed.
const readinessEvery = time.Second

// readiness keeps a file in step with whether clients should be sent here.
type readiness struct {
	path  string
	ready func() error // nil, or why not
	log   *slog.Logger

	changed chan struct{} // there may be something new
	stop    chan struct{}
	once    sync.Once
	running sync.WaitGroup

	mu struct {
		sync.Mutex
		made    bool   // the file is ours to write
		left    bool   // not ready for good
		said    string // what the log was told last
		failing bool   // the last write failed
	}
}

// newReadiness returns one that has not touched the file yet. An empty path means that there is none.
func newReadiness(path string, ready func() error, log *slog.Logger) *readiness {
	return &readiness{path: path, ready: ready, log: log.With("file", path), changed: make(chan struct{}, 1), stop: make(chan struct{})}
}

// open makes the file say that this node is not ready.
func (r *readiness) open() error {
	if r.path == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := overwrite(r.path, notReadyText); err != nil {
		return err
	}
	r.mu.made, r.mu.said = true, notReadyText
	return nil
}

// take makes a file ours that another process has kept up to now, and says nothing new in it before there is something.
func (r *readiness) take() {
	r.mu.Lock()
	r.mu.made = r.path != ""
	r.mu.Unlock()
}

// letGo leaves the file to another process, as it is.
func (r *readiness) letGo() {
	r.mu.Lock()
	r.mu.made, r.mu.left = false, true
	r.mu.Unlock()
}

// abandoned makes a file say no that another process has kept, and that still says yes although that process has ended.
func (r *readiness) abandoned() {
	if r.path == "" {
		return
	}
	if text, err := os.ReadFile(r.path); err != nil || string(text) != readyText {
		return
	}
	if err := overwrite(r.path, notReadyText); err != nil {
		r.log.Error("the readiness file can't be written: keepalived takes this node for ready, and it is not", "error", err)
	}
}

// takeBack undoes letGo.
func (r *readiness) takeBack() {
	r.mu.Lock()
	r.mu.made, r.mu.left = r.path != "", false
	r.mu.Unlock()
	r.nudge()
}

// follow begins to keep the file in step.
func (r *readiness) follow() {
	if r.path != "" {
		r.running.Add(1)
		go r.run()
	}
}

func (r *readiness) run() {
	defer r.running.Done()
	again := time.NewTicker(readinessEvery)
	defer again.Stop()
	for {
		r.step()
		select {
		case <-r.stop:
			return
		case <-r.changed:
		case <-again.C:
		}
	}
}

// nudge says that readiness may have changed. It never blocks.
func (r *readiness) nudge() {
	select {
	case r.changed <- struct{}{}:
	default: // a look is due anyway
	}
}

// step writes what is so now, unless the file says that already.
func (r *readiness) step() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.left {
		return
	}
	why := r.ready()
	text := readyText
	if why != nil {
		text = notReadyText
	}
	r.say(text, why)
}

// say brings the file to text. The lock is held.
func (r *readiness) say(text string, why error) {
	if now, err := os.ReadFile(r.path); err != nil || !bytes.Equal(now, []byte(text)) {
		if err := overwrite(r.path, text); err != nil {
			if !r.mu.failing {
				r.log.Error("the readiness file can't be written: keepalived does not learn how this node is", "error", err)
			}
			r.mu.failing = true
			return
		}
	}
	r.mu.failing = false
	switch {
	case r.mu.said == text:
	case why == nil:
		r.log.Info("ready: the readiness file says so")
	default:
		r.log.Warn("not ready: the readiness file says so", "reason", why)
	}
	r.mu.said = text
}

// leave makes the file say that this node is not ready, now and for good.
func (r *readiness) leave(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.made && !r.mu.left {
		r.say(notReadyText, why)
	}
	r.mu.left = true
}

// close is leave, and the end of the goroutine.
func (r *readiness) close(why error) {
	r.leave(why)
	r.once.Do(func() { close(r.stop) })
	r.running.Wait()
}

// overwrite changes what a small file holds, in place: its owner and its mode stay, and a directory that others own will
// do. Nobody ever reads a wrong number, nor none: keepalived takes an empty file, one that is missing, and text for 0,
// which means ready. So the new number comes first, in one write, and is cut off behind its line feed afterwards.
// keepalived looks at the file when it is closed.
func overwrite(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	return nil
}
