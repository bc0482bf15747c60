package balancer

import (
	"errors"
	"syscall"
	"time"

	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// A client has to be greeted before it says who it is, and which pool is its own may depend on that. Where another pool
// greeted, the login is moved: it is replayed to a server of the right pool under a plugin name that no server knows.
// That server then asks the client for its password with a scramble of its own (AuthSwitchRequest), and what both say is
// relayed until the verdict. No password is kept, or seen.

// move is a login on its way from the pool that greeted to the one that a route names.
type move struct {
	packet   []byte   // the login as it came, header included: read again when it is needed, it takes less memory like that
	to       target   // where it goes
	lost     *Backend // of the same pool, which has greeted and was lost since; nil for a login that belongs elsewhere
	began    time.Time
	deadline time.Time // login_timeout's; zero without one

	first   mysqlwire.Greeting // what the client has seen
	from    placement
	strange bool // a server was met that lacks what the client relies on
}

// placement is what a session has of a backend that has greeted.
type placement struct {
	server            splice.Conn // nil once it was given up
	pool              *Pool
	config            *settings
	lease             *Lease
	connectionID      uint32
	capabilities      mysqlwire.Capability
	connect, greeting time.Duration
}

// errDialect is a server that can't go on with what the client has begun with another one; the next one may.
var errDialect = &setupError{reason: "dialect", text: "login: the servers have too little in common", own: true}

// repliesFrom is the sequence number of what answers a login.
const repliesFrom = 2

// routeBySource chooses the pool, as far as the client's address tells.
func (s *session) routeBySource() {
	decided, login := s.terms.routes.bySource(s.client.Addr())
	s.routed = login
	if decided >= 0 {
		s.pool, s.config = s.terms.routes[decided].to.pool, s.terms.routes[decided].to.settings
		s.task.WatchClient(s.config.Protocol == MySQL)
	}
}

// divert decides about a login that has been read, and keeps it; early tells that the client has sent more than that. If
// the login has to go elsewhere, s.moving says where.
func (s *session) divert(login *mysqlwire.Login, packet []byte, early bool) {
	if login.SSLRequest {
		s.notMoved("tls")
		return
	}
	i := s.terms.routes.byLogin(s.client.Addr(), login)
	if i < 0 || s.terms.routes[i].to.pool == s.pool {
		return
	}
	if early { // it has answered what nobody has asked yet
		s.notMoved("early")
		return
	}
	s.moving = &move{packet: packet, to: s.terms.routes[i].to}
}

// moveLogin carries a login that was read, and that another pool has to answer, to its verdict. greeting is
// what the client has answered to. It returns false when the session is over, which it has then concluded.
func (s *session) moveLogin(server splice.Conn, greeting []byte, deadline time.Time, joint *splice.Joint) bool {
	m := s.moving
	login, _ := mysqlwire.ParseLogin(m.packet[mysqlwire.HeaderLen:]) // passLogin has read it
	h, _ := mysqlwire.ParseHeader(greeting)
	m.first, _ = mysqlwire.ParseGreeting(greeting[mysqlwire.HeaderLen : mysqlwire.HeaderLen+h.Length]) // awaitGreeting has read it
	if !movable(&login, m.first) {
		return s.stay(server, "no_plugin_auth", deadline, joint)
	}
	m.began, m.deadline = s.task.Now(), deadline
	m.from = placement{server: server, pool: s.pool, config: s.config, lease: s.lease,
		connectionID: s.login.connectionID, capabilities: s.login.capabilities, connect: s.connect, greeting: s.greeting}
	s.pool, s.config, s.lease = m.to.pool, m.to.settings, nil
	next, answer, err := s.lead()
	if err != nil && m.mayStay() && !errors.Is(err, splice.ErrClientGone) && !errors.Is(err, splice.ErrCut) {
		s.pool, s.config, s.lease = m.from.pool, m.from.config, m.from.lease
		s.login.connectionID, s.login.capabilities = m.from.connectionID, m.from.capabilities
		s.connect, s.greeting = m.from.connect, m.from.greeting
		m.from.lease = nil
		return s.stay(server, "capabilities", deadline, joint)
	}
	m.leave()
	if err != nil {
		s.refuse(err)
		return false
	}
	s.moving = nil
	if m.lost == nil {
		s.listener.metrics.LoginMoved()
	}
	*joint = s.joint(next)
	joint.Settled, err = s.relayVerdict(next, answer, deadline)
	return err == nil || s.loginFailed(err)
}

// mayStay tells whether a route's pool lacked what the client relies on, while the server that greeted is still there.
func (m *move) mayStay() bool { return m.strange && m.from.server != nil && m.lost == nil }

// stay goes on with a login where it is.
func (s *session) stay(server splice.Conn, why string, deadline time.Time, joint *splice.Joint) bool {
	packet := s.moving.packet
	s.moving = nil
	s.notMoved(why)
	err := s.passToServer(server, packet, deadline)
	if err == nil {
		joint.Settled, err = s.passVerdict(server, &passed{answered: true}, deadline) // once is enough: it is not rescued either
	}
	return err == nil || s.loginFailed(err)
}

// notMoved counts a login that stays where a route leads elsewhere, or may do so.
func (s *session) notMoved(why string) {
	s.stayed = why
	s.listener.metrics.LoginNotMoved(why)
}

// leave gives up the place that a login is moved from: an orderly close, and the lease. It can be repeated, and a nil
// move has no place.
func (m *move) leave() {
	if m == nil {
		return
	}
	if m.from.server != nil {
		m.from.server.Close()
	}
	m.from.lease.Release()
	m.from.server, m.from.lease = nil, nil
}

// replay sends the login to a server that has greeted, and returns how it answers: its first packet, or the
// beginning of a long one. Until then the client has not heard of that server, and every failure can be made good by the
// next one. Errors: *setupError, such as errDialect, splice.ErrClientGone, splice.ErrCut.
func (s *session) replay(server splice.Conn, greeting []byte, deadline time.Time) ([]byte, error) {
	h, _ := mysqlwire.ParseHeader(greeting)
	whole := mysqlwire.HeaderLen + h.Length
	next, err := mysqlwire.ParseGreeting(greeting[mysqlwire.HeaderLen:whole])
	if err != nil {
		return nil, errDialect // can't be: awaitGreeting has read it
	}
	login, err := mysqlwire.ParseLogin(s.moving.packet[mysqlwire.HeaderLen:])
	if err != nil {
		return nil, errDialect // nor can this
	}
	login, ok := translate(login, s.moving.first, next)
	if !ok {
		s.moving.strange = true
		return nil, errDialect
	}
	s.login.capabilities &= login.Capabilities
	s.moving.leave()
	answering := s.step(s.task.Now(), s.config.GreetingTimeout, deadline)
	packet, _ := mysqlwire.AppendPacket(nil, login.Append(nil), 1)
	if err := server.Write(packet, answering.until); err != nil {
		return nil, s.moving.blame(replayError(err, answering))
	}
	s.Moved(uint64(len(packet)), 0)
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	for got := copy(buffer[:], greeting[whole:]); ; {
		h, ok := mysqlwire.ParseHeader(buffer[:got])
		if ok && got >= min(mysqlwire.HeaderLen+h.Length, len(buffer)) {
			return append([]byte(nil), buffer[:got]...), nil
		}
		n, err := server.Read(buffer[got:], answering.until)
		if err != nil {
			return nil, s.moving.blame(replayError(err, answering))
		}
		got += n
	}
}

// replayError places the blame for a login that a server does not answer.
func replayError(err error, during step) error {
	switch {
	case errors.Is(err, splice.ErrClientGone), errors.Is(err, splice.ErrCut):
		return err
	case errors.Is(err, splice.ErrTimeout):
		return during.overdue("replay")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &setupError{reason: "replay_reset", text: "login: reset instead of an answer"}
	}
	return &setupError{reason: "replay_closed", text: "login: closed instead of an answer"}
}

// relayVerdict is passVerdict for a login that was moved: answer is what the server has said to it already.
func (s *session) relayVerdict(server splice.Conn, answer []byte, deadline time.Time) (settled bool, err error) {
	fixed := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(fixed)
	relay := renumbering{client: repliesFrom}
	from, n := server, copy(fixed[:], answer)
	for asked, unasked := false, false; ; {
		if from == server {
			if err == nil {
				relay.toClient(fixed[:n])
			}
			if err := s.passToClient(fixed[:n], err, deadline); err != nil {
				return false, err
			}
			if relay.judged {
				s.denied = relay.verdict == errPacket
				return relay.whole && !unasked, nil
			}
			asked = true
		} else {
			if err != nil {
				return false, err
			}
			unasked, asked = unasked || !asked, false
			relay.toServer(fixed[:n])
			if err := s.passToServer(server, fixed[:n], deadline); err != nil {
				return false, err
			}
		}
		from, n, err = s.task.ReadEither(server, fixed[:], deadline)
	}
}
