package splice

import "time"

// EndIdle ends idle sessions. Bytes that a direction has read at this very moment, and not yet accounted for, are lost with
// the session, as those are that arrive a moment later.
func (e *goroutines) EndIdle(tasks []Task, quiet time.Duration, most int, end End) int {
	ended := 0
	for _, t := range tasks {
		if ended == most {
			break
		}
		if r := t.(*link).relay.Load(); r != nil && r.endIdle(quiet, end) {
			ended++
		}
	}
	return ended
}

func (r *relay) endIdle(quiet time.Duration, end End) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.end != Unfinished || !r.mu.idler.Idle() || time.Since(r.mu.active) < quiet ||
		r.mu.finished != [2]bool{} || r.mu.unseen != [2]bool{} {
		return false
	}
	for _, c := range r.ends {
		if arrived(c) {
			return false
		}
	}
	r.failLocked(end)
	return true
}
