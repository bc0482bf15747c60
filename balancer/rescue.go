package balancer

import (
	"errors"
	"time"

	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// A server may be lost between its greeting and its answer to the login. The client has seen nothing of it but the
// greeting then, so that its login can be moved to another server of the same pool.

// lifeCheck is how often a server that owes an answer to a login is looked at: one that has gone down meanwhile is not waited
// for. Silence alone is no reason: servers may ask others for the password, and take their time.
const lifeCheck = 500 * time.Millisecond

// passed is how far a login has come with the server that greeted.
type passed struct {
	greeting []byte // what the client has seen
	packet   []byte // the client's first packet, once it has been read
	tls      bool   // which asks for TLS
	early    bool   // the client has said more than that without having been asked
	answered bool   // the server has said more than its greeting
}

func newPassed(greeting []byte) passed {
	h, _ := mysqlwire.ParseHeader(greeting)
	return passed{greeting: greeting, answered: len(greeting) > mysqlwire.HeaderLen+h.Length}
}

// movable tells whether another server can go on where the login stands.
func (p *passed) movable() bool {
	if p.packet == nil || p.tls || p.early || p.answered {
		return false
	}
	login, err := mysqlwire.ParseLogin(p.packet[mysqlwire.HeaderLen:])
	if err != nil {
		return false
	}
	h, _ := mysqlwire.ParseHeader(p.greeting)
	first, err := mysqlwire.ParseGreeting(p.greeting[mysqlwire.HeaderLen : mysqlwire.HeaderLen+h.Length])
	return err == nil && movable(&login, first)
}

// rescue has a login whose server was lost move to another one, if that can be: then s.moving says so. silent tells that its
// connection is not over.
func (s *session) rescue(p *passed, silent bool) bool {
	b := s.lease.Backend
	if !p.movable() || !s.pool.hasAnother(b, s.tiers(), !silent) {
		return false
	}
	b.metrics.Redispatch("login_lost")
	s.moving = &move{packet: p.packet, to: target{s.pool, s.config}, lost: b}
	return true
}

// blame leaves a server that has not answered a login without blame where another one was lost with it before: the login itself
// may be what they can't bear, and one client must not make every backend a suspect.
func (m *move) blame(err error) error {
	if failed, ok := errors.AsType[*setupError](err); ok && m.lost != nil {
		failed.own = true
	}
	return err
}

// tiers are the roles of those backends that may serve the session.
func (s *session) tiers() tiers {
	if s.pool == s.terms.own.pool {
		return s.terms.tiers
	}
	return nil
}

// isLoss tells whether an error of a server's connection means that it is over, by no doing of this side.
func isLoss(err error) bool {
	return !errors.Is(err, splice.ErrTimeout) && !errors.Is(err, splice.ErrCut) && !errors.Is(err, splice.ErrClientGone)
}

// mayBeRescued tells whether to wait for the login of a client although its server was lost. Without a deadline nobody knows
// how long that would be.
func (s *session) mayBeRescued(p *passed, err error, deadline time.Time) bool {
	return isLoss(err) && !p.answered && !deadline.IsZero() && s.pool.hasAnother(s.lease.Backend, s.tiers(), true)
}

// readLogin reads from the client or its server; when that was lost, from the client alone.
func (s *session) readLogin(server splice.Conn, lost bool, b []byte, deadline time.Time) (splice.Conn, int, error) {
	if !lost {
		return s.task.ReadEither(server, b, deadline)
	}
	client := s.task.Client()
	n, err := client.Read(b, deadline)
	return client, n, err
}

// awaitAnswer reads from either side. Where the server is lost before it has answered, because its connection is over or
// because it has gone down and is silent, s.moving may tell afterwards where the login goes.
func (s *session) awaitAnswer(server splice.Conn, p *passed, b []byte, deadline time.Time) (from splice.Conn, n int, err error) {
	for !p.answered {
		until := s.task.Now().Add(lifeCheck)
		last := !deadline.IsZero() && !until.Before(deadline)
		if last {
			until = deadline
		}
		from, n, err = s.task.ReadEither(server, b, until)
		silent := errors.Is(err, splice.ErrTimeout)
		if silent && s.lease.Backend.bad.Load() || from == server && err != nil && isLoss(err) {
			s.rescue(p, silent)
		}
		if last || !silent || s.moving != nil {
			return from, n, err
		}
	}
	return s.task.ReadEither(server, b, deadline)
}

// hasAnother tells whether new sessions go to a member besides b, as the last resort if that counts: a client that would be cut
// loses nothing by it.
func (p *Pool) hasAnother(b *Backend, t tiers, lastResort bool) bool {
	if t == nil {
		t = anyRole
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, roles := range t {
		for i, other := range p.mu.backends {
			s := &p.mu.seats[i]
			open := s.open || lastResort && other.mu.condition.order == Enable && len(other.Addresses()) > 0
			if other != b && open && s.weight > 0 && roles.wants(s.role) {
				return true
			}
		}
	}
	return false
}
