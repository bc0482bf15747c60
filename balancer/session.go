package balancer

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
	"unique"

	"fairlead/balancer/idle"
	"fairlead/balancer/sniff"
	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// session is one client's connection, from the accept to the log line. run is its life up to the join; after that
// the engine calls Moved and Ended.
type session struct {
	id       uint64
	listener *Listener
	terms    *terms // the listener's, as they were when the session began; nil once it is joined
	pool     *Pool
	config   *settings // the pool's, as they were when the session began
	task     splice.Task
	client   netip.AddrPort
	started  time.Time

	arrival *arrival // until the join; may be nil
	room    *room    // from the first greeting to the set-up's end
	pass    *pass    // of the listener's gate; may be nil

	lease    *Lease
	connect  time.Duration // of the connect that led to the greeting
	greeting time.Duration // from that connect to the greeting
	login    identity
	moving   *move  // its login, while that is moved to another pool
	stayed   string // why its login was not moved; empty for most

	toServer, toClient atomic.Uint64
	active             atomic.Int64  // when bytes were reported last, in nanoseconds from started on; 0 for never
	begun              atomic.Bool   // logged in, about to be joined: from now on login may be read by others
	denied             bool          // the server has said no to the login
	routed             bool          // its login decides which pool it goes to
	tells              bool          // the server's greeting says whether autocommit is on
	counted            bool          // among its user's and its database's sessions
	condemned          atomic.Uint32 // the splice.End that it was cut with from here; Unfinished for most
	over               bool          // concluded
}

// identity is what greeting and login tell of a session; it is read as they pass, and stays empty where they can't be
// read.
type identity struct {
	connectionID            uint32
	capabilities            mysqlwire.Capability // that both sides have announced
	user, database, program word
}

// word is a text of a login. Thousands of sessions have the same few, and share them.
type word struct{ shared unique.Handle[string] }

// longestWord is what is kept of a text, in bytes. Servers allow users of at most 128; a login may have 64 KiB of it, and
// would fill memory and logs.
const longestWord = 256

func newWord(text string) word {
	if text == "" {
		return word{}
	}
	return word{unique.Make(text[:min(len(text), longestWord)])}
}

// String is the text.
func (w word) String() string {
	if w == (word{}) {
		return ""
	}
	return w.shared.Value()
}

// run sets the session up: a backend that has greeted, a client that has logged in, and then both are joined. present is
// how many sessions the listener has with this one.
func (s *session) run(present int64) {
	defer s.panicked()
	defer s.leaveRoom()
	s.listener.metrics.Accepts()
	s.task.WatchClient(s.config.Protocol == MySQL)
	if !s.arrive(present) {
		return
	}
	if s.terms.routes != nil && s.pool == s.terms.own.pool {
		s.routeBySource()
	}
	if s.config.Protocol == MySQL && s.early() > 0 { // it spoke together with its PROXY header, and not in its turn
		s.turnSpeakerAway(sniff.Foreign(s.arrival.read))
		return
	}
	server, greeting, err := s.lead()
	if s.spokeUp(err) {
		if !s.heard(server) {
			return
		}
		server, greeting, err = s.lead()
	}
	if err != nil {
		s.refuse(err)
		return
	}
	joint := s.joint(server)
	if n := s.early(); n > 0 {
		s.Moved(uint64(n), 0)
	}
	if s.config.Protocol == MySQL && !s.logIn(server, greeting, &joint) {
		return
	}
	s.arrival, s.terms = nil, nil
	if joint.Settled && !s.denied {
		joint.Idler = idle.New(s.login.capabilities, s.tells)
	}
	s.listener.balancer.sessionBegun(s)
	if !s.lease.lastResort && s.lease.Backend.bad.Load() { // it went down while the pool left this session to itself
		s.config.tend(s.task, true)
	}
	s.task.Join(joint)
}

// joint is how the client is joined with a backend of the session's pool.
func (s *session) joint(server splice.Conn) splice.Joint {
	return splice.Joint{Server: server, Owner: s, Idle: s.config.IdleTimeout, Linger: s.config.Linger, Keepalive: &s.config.keepalive}
}

// lead finds a backend that greets; for a tcp pool, one that connects. Until then the client has not seen a byte, so
// that every failure can be made good by the next backend.
func (s *session) lead() (splice.Conn, []byte, error) {
	var tried []*Backend
	deadline := s.sought().Add(s.config.SetupTimeout)
	if m := s.moving; m != nil {
		if !m.deadline.IsZero() && m.deadline.Before(deadline) {
			deadline = m.deadline
		}
		if m.lost != nil {
			tried = append(tried, m.lost)
		}
	}
	for last := (*setupError)(nil); ; {
		if err := s.acquire(tried, deadline); err != nil {
			if last != nil && errors.Is(err, ErrNoBackend) {
				err = last
			}
			return nil, nil, err
		}
		server, greeting, err := s.attempt(deadline)
		if err == nil {
			return server, greeting, nil
		}
		b := s.lease.Backend
		failed, blame := errors.AsType[*setupError](err)
		if blame && failed != errDialect { // which is how the server is, and no failure of it
			b.metrics.Redispatch(failed.reason)
			if !failed.own {
				b.Pool.suspect(b, failed.Error()) // before its place is free for the next one in the queue
			}
		}
		s.lease.Release()
		s.lease = nil
		switch {
		case !blame:
			return nil, nil, err // the client has gone, or the session was cut
		case failed.hopeless, !s.task.Now().Before(deadline):
			return nil, nil, failed
		}
		tried = append(tried, b)
		if last == nil || failed != errDialect { // a failure may pass, and is worth telling
			last = failed
		}
	}
}

// sought is when the session began to look for the backend that it does not have yet.
func (s *session) sought() time.Time {
	if s.moving != nil {
		return s.moving.began
	}
	return s.started
}

// acquire takes a lease; where every backend is at its cap it waits for one in the pool's queue.
func (s *session) acquire(tried []*Backend, deadline time.Time) error {
	request := Request{Source: s.client.Addr(), Tried: tried, tiers: s.tiers(), holder: s}
	lease, ticket, err := s.pool.enqueue(request, s.task)
	if ticket == nil {
		s.lease = lease
		return err
	}
	s.moving.leave() // who waits for a place must not hold one that others wait for
	if timeout := s.task.Now().Add(s.config.QueueTimeout); timeout.Before(deadline) {
		deadline = timeout
	}
	for err = nil; err == nil && !s.pool.answered(ticket); { // a wake may be late, and meant for an earlier ticket
		err = s.task.Park(deadline)
	}
	lease = s.pool.leave(ticket)
	switch {
	case err != nil && !errors.Is(err, splice.ErrTimeout):
		lease.Release()
		return err
	case lease != nil:
		s.lease = lease
		return nil
	case err == nil:
		return ErrNoBackend // the last backend worth waiting for has gone
	}
	return errQueueTimeout
}

// attempt gets a greeting from the first of the leased backend's addresses that gives one. Errors: *setupError,
// splice.ErrClientGone, splice.ErrCut.
func (s *session) attempt(deadline time.Time) (splice.Conn, []byte, error) {
	b := s.lease.Backend
	var failed *setupError
	for _, address := range b.Addresses() {
		server, greeting, err := s.try(address, deadline)
		if err == nil {
			b.prefer(address)
			return server, greeting, nil
		}
		this, blame := errors.AsType[*setupError](err)
		if !blame || this.hopeless {
			return nil, nil, err
		}
		if failed == nil || !this.own {
			failed = this
		}
	}
	if failed == nil {
		failed = &setupError{reason: "resolve", text: "no address is known for " + b.Host}
	}
	return nil, nil, failed
}

// try connects to one address and waits for the greeting.
func (s *session) try(address netip.AddrPort, deadline time.Time) (server splice.Conn, greeting []byte, err error) {
	source := s.config.Source
	if source.IsValid() && source.Is4() != address.Addr().Is4() {
		source = netip.Addr{}
	}
	connecting := s.step(s.task.Now(), s.config.ConnectTimeout, deadline)
	if server, err = s.task.Dial(address, source, connecting.until); err != nil {
		return nil, nil, connectError(err, connecting)
	}
	if greeting, err = s.hear(server, connecting, deadline); err != nil {
		server.Close()
		return nil, nil, err
	}
	return server, greeting, nil
}

// hear waits for what a server says first, and returns it; of a moved login, that is its answer to it.
func (s *session) hear(server splice.Conn, connecting step, deadline time.Time) (greeting []byte, err error) {
	if s.arrival != nil || s.config.SendProxy != "" {
		if err := s.open(server, connecting); err != nil {
			return nil, err
		}
	}
	b, connected := s.lease.Backend, s.task.Now()
	s.connect = took(connecting.begun, connected)
	b.metrics.Connect.Observe(s.connect.Seconds())
	if s.config.Protocol != MySQL {
		b.Pool.succeeded(b, connected)
		return nil, nil
	}
	if greeting, err = s.awaitGreeting(server, s.step(connected, s.config.GreetingTimeout, deadline)); err != nil {
		return nil, err
	}
	greeted := s.task.Now()
	s.greeting = took(connected, greeted)
	b.metrics.Greeting.Observe(s.greeting.Seconds())
	b.Pool.succeeded(b, greeted)
	if s.moving != nil {
		return s.replay(server, greeting, deadline)
	}
	return greeting, nil
}

// took is the time of something that has happened. What the loop heard of in one go took next to nothing, but is not to look
// like nothing.
func took(from, to time.Time) time.Duration { return max(1, to.Sub(from)) }

// step is one step of an attempt, and the time that it has.
type step struct {
	begun, until time.Time
	squeezed     bool // it has less than its due, for others took the rest of the set-up's time: no reason to blame anybody
}

func (s *session) step(now time.Time, due time.Duration, deadline time.Time) step {
	if until := now.Add(due); until.Before(deadline) {
		return step{begun: now, until: until}
	}
	return step{begun: now, until: deadline, squeezed: s.moving != nil || now.Sub(s.started) > s.config.SetupTimeout/2}
}

// overdue is the failure of a step that ran out of time.
func (t step) overdue(name string) *setupError {
	if t.squeezed {
		return &setupError{reason: "setup_timeout", text: "setup_timeout is over", own: true}
	}
	return &setupError{reason: name + "_timeout", text: fmt.Sprintf("%s: nothing within %v", name, t.until.Sub(t.begun).Round(time.Millisecond))}
}

// Moved is called by the engine about once a second.
func (s *session) Moved(toServer, toClient uint64) {
	backend := s.lease.Backend.metrics
	if toServer > 0 {
		s.toServer.Add(toServer)
		backend.BytesToServer.Add(float64(toServer))
	}
	if toClient > 0 {
		s.toClient.Add(toClient)
		backend.BytesToClient.Add(float64(toClient))
	}
	s.active.Store(int64(max(1, s.task.Now().Sub(s.started))))
}

// Ended is called by the engine when a joined session is over.
func (s *session) Ended(end splice.End) {
	if end == splice.Unproven {
		s.turnAway(end.String())
		return
	}
	s.conclude(end.String())
}

// panicked sees to a set-up that panics: it costs its own session, and the engine tells of it.
func (s *session) panicked() {
	if value := recover(); value != nil {
		if !s.over {
			s.conclude("panic")
		}
		panic(value)
	}
}

// conclude gives back what the session holds, and tells of it.
func (s *session) conclude(end string) {
	s.over = true
	over := s.task.Now()
	s.pass.release()
	backend := s.pool.nobody
	if s.lease != nil {
		backend = s.lease.Backend.metrics
		backend.Session.Observe(over.Sub(s.started).Seconds())
		s.lease.Release()
	}
	s.moving.leave()
	if s.counted {
		s.listener.logins.leave(s.login)
	}
	backend.Ended(s.listener.name, end)
	s.listener.balancer.sessionEnded(s, over, end)
}

// setupError is a backend's failure to become a session's, or, if own, the balancer's.
type setupError struct {
	reason   string // from a closed set, for metrics
	text     string // for people
	own      bool   // no blame on the backend
	hopeless bool   // the next backend would fare no better
}

func (e *setupError) Error() string { return e.text }

var errQueueTimeout = errors.New("balancer: no place came free in time")

// connectError places the blame for a connect that failed. Errors: *setupError, splice.ErrClientGone, splice.ErrCut.
func connectError(err error, during step) error {
	switch {
	case errors.Is(err, splice.ErrClientGone), errors.Is(err, splice.ErrCut):
		return err
	case errors.Is(err, splice.ErrTimeout):
		return during.overdue("connect")
	case errors.Is(err, syscall.ETIMEDOUT):
		return &setupError{reason: "connect_timeout", text: "connect: timed out"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &setupError{reason: "connect_refused", text: "connect: refused"}
	case errors.Is(err, syscall.ECONNRESET):
		return &setupError{reason: "connect_reset", text: "connect: reset"}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &setupError{reason: "own_descriptors", text: "out of descriptors", own: true, hopeless: true}
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ENOSPC): // ENOSPC: epoll_ctl(2)
		return &setupError{reason: "own_memory", text: "out of memory for sockets", own: true, hopeless: true}
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EADDRINUSE):
		return &setupError{reason: "own_ports", text: "out of source ports (or the source address is not local)", own: true}
	}
	return &setupError{reason: "connect_failed", text: "connect: " + kernelWords(err)}
}

// kernelWords is the kernel's part of an error: clients read it, and addresses are none of their business.
func kernelWords(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return "failed"
}
