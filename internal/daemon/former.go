package daemon

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/upgrade"
)

// former is a process from before an upgrade that still has sessions.
type former struct {
	pid    int
	line   *upgrade.Line
	counts balancer.Counts
	reader chan struct{} // closed when its reader has ended
}

// formers are all of them. Their sessions count on the backends as long as they last.
type formers struct {
	counted func(balancer.Counts) // is told of the sum, at each change

	mu struct {
		sync.Mutex
		all    []*former
		before balancer.Counts // of those that are not known by name yet
	}
}

// expect counts the sessions of processes that have not handed their lines over yet.
func (s *formers) expect(c balancer.Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.before = c
	s.tell()
}

// arrive begins to follow processes, in place of those that were expected.
func (s *formers) arrive(all []*former) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.before = nil
	s.mu.all = append(s.mu.all, all...)
	for _, f := range all {
		s.follow(f)
	}
	s.tell()
}

// follow reads what a process tells until it has ended, or the line is paused. The lock is held.
func (s *formers) follow(f *former) {
	f.reader = make(chan struct{})
	go func() {
		defer close(f.reader)
		for {
			m, _, err := f.line.Receive(time.Time{})
			switch {
			case err == upgrade.ErrPaused:
				return
			case err != nil:
				s.leave(f)
				return
			case m.Kind == upgrade.Counts:
				s.count(f, m.Counts)
			}
		}
	}()
}

func (s *formers) count(f *former, c balancer.Counts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.counts = c
	s.tell()
}

// leave takes a process off the list that has ended.
func (s *formers) leave(f *former) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.all = slices.DeleteFunc(s.mu.all, func(one *former) bool { return one == f })
	f.line.Close()
	s.tell()
}

// tell tells of the sum. The lock is held.
func (s *formers) tell() { s.counted(s.sum()) }

func (s *formers) sum() balancer.Counts {
	sum := balancer.Counts{}
	sum.Add(s.mu.before)
	for _, f := range s.mu.all {
		sum.Add(f.counts)
	}
	return sum
}

// total is the sum of their sessions on each backend.
func (s *formers) total() balancer.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sum()
}

// list is for status.
func (s *formers) list() []control.FormerProcess {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []control.FormerProcess
	for _, f := range s.mu.all {
		if n := f.counts.Sum(); n > 0 { // one without any is about to end, or stays as the parent
			all = append(all, control.FormerProcess{PID: f.pid, Sessions: n})
		}
	}
	return all
}

// pause ends the reading, so that another process can go on with it, and returns those that are left.
func (s *formers) pause() []*former {
	s.mu.Lock()
	all := slices.Clone(s.mu.all)
	s.mu.Unlock()
	for _, f := range all {
		f.line.Pause()
	}
	for _, f := range all {
		<-f.reader
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.all)
}

// unpause undoes pause.
func (s *formers) unpause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.mu.all {
		f.line.Unpause()
		s.follow(f)
	}
}

// order passes orders on, which are about their sessions as well.
func (s *formers) order(all []balancer.Standing) {
	s.send(upgrade.Message{Kind: upgrade.Orders, Orders: all})
}

// adopted tells them which process goes on from now on. It is said by the one before that, for its end may come first.
func (s *formers) adopted(pid int) { s.send(upgrade.Message{Kind: upgrade.Adopted, PID: pid}) }

// reopenLogs has them open their log's file anew, which this process was told to do.
func (s *formers) reopenLogs() { s.send(upgrade.Message{Kind: upgrade.Reopen}) }

func (s *formers) send(m upgrade.Message) {
	s.mu.Lock()
	all := slices.Clone(s.mu.all)
	s.mu.Unlock()
	for _, f := range all {
		_ = f.line.Send(m) // it may have ended
	}
}

// close forgets them all.
func (s *formers) close() {
	s.pause()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.mu.all {
		f.line.Close()
	}
	s.mu.all = nil
}

const (
	// countsLook is how often a process that has been replaced looks whether its counts have changed, and countsEvery how
	// often it tells them in any case.
	countsLook  = 100 * time.Millisecond
	countsEvery = time.Second
)

// reportCounts tells the process that has taken over how many sessions there are, until stop is closed, and how many are left
// then: the line may stay.
func reportCounts(line *upgrade.Line, counts func() balancer.Counts, stop <-chan struct{}) {
	look := time.NewTicker(countsLook)
	defer look.Stop()
	var told balancer.Counts
	var when time.Time
	for last := false; ; {
		if now := counts(); told == nil || !sameCounts(now, told) || time.Since(when) >= countsEvery {
			err := line.Send(upgrade.Message{Kind: upgrade.Counts, PID: os.Getpid(), Counts: now})
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded):
				told = nil // that process stands still
			case err != nil:
				return // nobody reads any more
			default:
				told, when = now, time.Now()
			}
		}
		if last {
			return
		}
		select {
		case <-stop:
			last = true
		case <-look.C:
		}
	}
}

func sameCounts(a, b balancer.Counts) bool {
	return maps.EqualFunc(a, b, func(x, y map[string]int) bool { return maps.Equal(x, y) })
}
