package balancer

import (
	"errors"
	"fmt"
	"time"

	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// refuse ends a session for which there is no backend: a MySQL client is told why in its own words.
func (s *session) refuse(err error) {
	var failed *setupError
	switch {
	case errors.Is(err, splice.ErrClientGone):
		s.conclude("client_gone")
	case errors.Is(err, splice.ErrCut):
		end := s.cut()
		s.farewell(cutErrors[end], s.next())
		s.conclude(end.String())
	case errors.Is(err, errQueueTimeout):
		s.noPlace("no place came free within "+s.config.QueueTimeout.String(), "queue_timeout")
	case errors.Is(err, ErrFull):
		s.noPlace("every backend is at its max_sessions", "full")
	case errors.Is(err, errDialect):
		s.noPlace("no backend speaks what the client has begun with another pool", "dialect")
	case errors.As(err, &failed):
		s.noPlace("no backend is available ("+failed.text+")", "no_backend")
	default:
		s.noPlace("no backend is available", "no_backend")
	}
}

// cutErrors tell clients why their set-up was cut.
var cutErrors = map[splice.End]*mysqlwire.ServerError{
	splice.Drained: {Code: 1053, State: "08S01", Message: "fairlead: shutdown in progress"},
	splice.Killed:  {Code: 1317, State: "70100", Message: "fairlead: the session was killed"},
}

// cut is how a session ends that was cut while it was set up.
func (s *session) cut() splice.End {
	if s.killed.Load() {
		return splice.Killed
	}
	return splice.Drained
}

// next is the sequence number of the next packet to a client that has no backend.
func (s *session) next() byte {
	if s.moving != nil {
		return repliesFrom
	}
	return 0
}

func (s *session) noPlace(why, reason string) {
	s.farewell(&mysqlwire.ServerError{Code: 1040, State: "08004",
		Message: fmt.Sprintf("fairlead: pool %q: %s", s.pool.name, why)}, s.next())
	s.turnAway(reason)
}

// turnAway concludes a session that was not let in.
func (s *session) turnAway(reason string) {
	s.listener.metrics.Reject(reason)
	s.conclude(reason)
}

// farewell sends an ERR packet, if the client expects the MySQL protocol.
func (s *session) farewell(e *mysqlwire.ServerError, sequence byte) {
	if s.config.Protocol != MySQL {
		return
	}
	packet, _ := mysqlwire.AppendPacket(nil, e.Append(nil, mysqlwire.ClientProtocol41), sequence)
	_ = s.task.Client().Write(packet, time.Now().Add(farewell))
}

// admit asks the listener's gate.
func (s *session) admit() (reason string, ok bool) {
	if most := s.listener.config.MaxSessions; most > 0 && s.listener.sessions.Load() > int64(most) {
		s.farewell(&mysqlwire.ServerError{Code: 1040, State: "08004",
			Message: fmt.Sprintf("fairlead: listener %q is at its max_sessions of %d", s.listener.name, most)}, 0)
		return "listener_full", false
	}
	return "", true
}
