package balancer

import (
	"errors"
	"fmt"

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
		s.noPlace("no place came free within "+min(s.config.QueueTimeout, s.config.SetupTimeout).String(), "queue_timeout")
	case errors.Is(err, ErrFull):
		s.noPlace("every backend is at its max_sessions", "full")
	case errors.Is(err, errDialect):
		s.noPlace("no backend speaks what the client has begun with another one", "dialect")
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

// next is the sequence number of the next packet to a client that has no backend.
func (s *session) next() byte {
	if s.moving != nil {
		return repliesFrom
	}
	return 0
}

func (s *session) noPlace(why, reason string) {
	if s.arrival != nil && s.arrival.kind == SniffHTTP {
		s.unavailable()
	}
	s.farewell(&mysqlwire.ServerError{Code: 1040, State: "08004",
		Message: fmt.Sprintf("fairlead: pool %q: %s", s.pool.name, why)}, s.next())
	s.turnAway(reason)
}

// turnAway concludes a session that was not let in.
func (s *session) turnAway(reason string) {
	s.listener.metrics.Reject(reason)
	s.conclude(reason)
}

// farewell sends an ERR packet, if the client expects the MySQL protocol. One that may speak others as well does as long as
// it is silent.
func (s *session) farewell(e *mysqlwire.ServerError, sequence byte) {
	if s.config.Protocol != MySQL {
		return
	}
	if a := s.arrival; a != nil && a.undecided && (len(a.read) > 0 || s.task.Client().Pending()) {
		return
	}
	packet, _ := mysqlwire.AppendPacket(nil, e.Append(nil, mysqlwire.ClientProtocol41), sequence)
	_ = s.task.Client().Write(packet, s.task.Now().Add(farewell))
}

// underCap asks whether the listener had a place left when the session came: of two that come at once for the last one,
// one gets it.
func (s *session) underCap(present int64) bool {
	most := s.terms.MaxSessions
	if present <= int64(most) {
		return true
	}
	s.farewell(&mysqlwire.ServerError{Code: 1040, State: "08004",
		Message: fmt.Sprintf("fairlead: listener %q is at its max_sessions of %d", s.listener.name, most)}, 0)
	s.turnAway("listener_full")
	return false
}

// admitted asks the listener's gate.
func (s *session) admitted() bool {
	given, reason := s.listener.gate.admit(&s.terms.Gate, s.client.Addr())
	if reason == "" {
		s.pass = given
		return true
	}
	s.farewell(s.terms.refusal(reason, s.client.Addr()), 0)
	s.turnAway(reason)
	return false
}

// unavailable tells an HTTP client that there is nobody to serve it, and reads what it still sends, but not for long: a
// close before that would be a reset, and might take the answer with it.
func (s *session) unavailable() {
	client, until := s.task.Client(), s.task.Now().Add(farewell)
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	err := client.Write([]byte(noServer), until)
	for read := 0; err == nil && read < mostDrained; {
		var n int
		n, err = client.Read(buffer[:], until)
		read += n
	}
}

// mostDrained is how many bytes of a request are read although nobody wants them.
const mostDrained = 1 << 20

const noServer = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 35\r\n\r\n" +
	"fairlead: no backend is available.\n"
