package balancer

import (
	"time"

	"fairlead/balancer/splice"
)

// Kill ends a session at once, as LiveSessions numbers them, and tells what it was. It reports false when there is no such
// session, or none that has a place on a backend.
func (b *Balancer) Kill(id uint64) (LiveSession, bool) {
	for _, p := range b.now().allPools() {
		for _, backend := range p.holding() {
			for _, s := range p.holders(backend) {
				if s.id == id {
					s.condemn(splice.Killed)
					return s.live(backend, time.Now()), true
				}
			}
		}
	}
	return LiveSession{}, false
}

// condemn cuts the session, and tells whether it was the first to do so.
func (s *session) condemn(end splice.End) bool {
	first := s.condemned.CompareAndSwap(uint32(splice.Unfinished), uint32(end))
	if first {
		s.task.Cut(end)
	}
	return first
}

// cut is how a session ends that was cut while it was set up: when nobody has condemned it, then all were, by a shutdown.
func (s *session) cut() splice.End {
	if end := splice.End(s.condemned.Load()); end != splice.Unfinished {
		return end
	}
	return splice.Drained
}
