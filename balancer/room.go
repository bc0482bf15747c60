package balancer

import (
	"sync"

	"fairlead/internal/mysqlwire"
)

// packetBuffer holds every greeting and nearly every login; a longer login gets a buffer of its own.
const packetBuffer = 4 << 10

var packetBuffers = sync.Pool{New: func() any { return new([packetBuffer]byte) }}

// room is where a set-up reads what both sides say from the greeting to the verdict. What is kept stays there until the
// set-up is over. The packets that were parsed last stay for longer, as memory for the next set-up's.
type room struct {
	kept     int
	buffer   [packetBuffer]byte
	greeting mysqlwire.Greeting
	login    mysqlwire.Login
}

var rooms = sync.Pool{New: func() any { return new(room) }}

// leastFree is what the packets of a login find free: enough for any answer to be read at once, as a rule.
const leastFree = 1 << 10

// free is where the next bytes go: at least so many.
func (r *room) free(least int) []byte {
	if free := r.buffer[r.kept:]; len(free) >= least {
		return free
	}
	return make([]byte, packetBuffer)
}

// keep lets b, the beginning of what was free, stay.
func (r *room) keep(b []byte) []byte {
	if free := r.buffer[r.kept:]; len(b) <= len(free) && len(b) > 0 && &b[0] == &free[0] {
		r.kept += len(b)
	}
	return b[:len(b):len(b)]
}

// enter gives the session a room, unless it has one.
func (s *session) enter() *room {
	if s.room == nil {
		s.room = rooms.Get().(*room)
	}
	return s.room
}

// leaveRoom gives it back: nothing that was kept in it may be used any more.
func (s *session) leaveRoom() {
	if s.room != nil {
		s.room.kept = 0
		rooms.Put(s.room)
		s.room = nil
	}
}
