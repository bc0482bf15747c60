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
					s.killed.Store(true)
					s.task.Cut(splice.Killed)
					return s.live(backend, time.Now()), true
				}
			}
		}
	}
	return LiveSession{}, false
}
