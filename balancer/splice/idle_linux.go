package splice

import "time"

// idleAtOnce is how many sessions a loop looks at in one go: some 20 µs, in which its other sessions wait.
const idleAtOnce = 256

// EndIdle goes from loop to loop, so that the bound holds for all of them together.
func (e *loops) EndIdle(tasks []Task, quiet time.Duration, most int, end End) int {
	of := map[*loop][]*session{}
	for _, t := range tasks {
		s := t.(*session)
		of[s.loop] = append(of[s.loop], s)
	}
	ended := 0
	for l, all := range of {
		for len(all) > 0 && ended < most {
			some := all[:min(len(all), idleAtOnce)]
			all = all[len(some):]
			done := make(chan int, 1)
			if !l.post(func() { done <- l.endIdle(some, quiet, most-ended, end) }) {
				break
			}
			ended += <-done
		}
	}
	return ended
}

// endIdle runs on the loop: what has arrived since the last event is in the sockets, and is asked for.
func (l *loop) endIdle(sessions []*session, quiet time.Duration, most int, end End) int {
	ended := 0
	now := l.engine.clock()
	for _, s := range sessions {
		if ended < most && s.isIdle(now, quiet) {
			l.finish(s, end)
			ended++
		}
	}
	return ended
}

func (s *session) isIdle(now int64, quiet time.Duration) bool {
	if s.state != joined || !s.idler.Idle() || now-s.active < int64(quiet) {
		return false
	}
	for k := range s.halves {
		if h := &s.halves[k]; h.pending() || h.eof || h.hup || h.failed || unread(h.src) != 0 {
			return false
		}
	}
	return true
}
