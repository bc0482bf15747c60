package balancer

import (
	"errors"
	"io"
	"syscall"
	"time"

	"fairlead/balancer/sniff"
	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

const (
	// longestLogin bounds a client's first packet: MariaDB's server takes 16 KiB before the login, and connection
	// attributes may make it four times that with others.
	longestLogin = 64 << 10
	// farewell bounds the write of an ERR packet to a client that is turned away.
	farewell = time.Second
)

// logIn hands the greeting to the client and carries the login to its verdict, reading along. It returns false
// when the session is over, which it has then concluded.
func (s *session) logIn(server splice.Conn, greeting []byte, joint *splice.Joint) bool {
	client := s.task.Client()
	if client.Pending() { // whoever speaks before the greeting does not speak MySQL, or has gone
		return s.turnForeignerAway(server)
	}
	var deadline time.Time
	if s.terms.LoginTimeout > 0 {
		deadline = s.task.Now().Add(s.terms.LoginTimeout)
	}
	if err := client.Write(greeting, deadline); err != nil {
		return s.loginFailed(err)
	}
	s.Moved(0, uint64(len(greeting)))
	p := newPassed(greeting)
	err := s.passLogin(server, &p, deadline)
	if err == nil && s.moving == nil && !p.tls {
		joint.Settled, err = s.passVerdict(server, &p, deadline)
	}
	switch {
	case err != nil:
		return s.loginFailed(err)
	case s.moving != nil:
		return s.moveLogin(server, greeting, deadline, joint)
	case p.tls: // what follows can't be read
		joint.Proof, joint.Turns = deadline, loginTurns
		if p.early {
			joint.Turns-- // its hello came with the request
		}
		if deadline.IsZero() {
			joint.Turns = 0
		}
	}
	return true
}

// loginTurns is how often a login over TLS changes direction after the SSLRequest, at least (TLS 1.3: ClientHello, the
// server's flight, the client's with the login in it, the server's verdict).
const loginTurns = 4

// passLogin reads the client's first packet, notes who it is, and passes it on, unless s.moving says that it goes elsewhere:
// because it belongs there, or because the server was lost.
func (s *session) passLogin(server splice.Conn, p *passed, deadline time.Time) error {
	buffer, got := s.room.free(leastFree), 0
	for lost := error(nil); ; {
		from, n, err := s.readLogin(server, lost != nil, buffer[got:], deadline)
		switch {
		case from == server && err != nil && s.mayBeRescued(p, err, deadline):
			lost = &serverError{err} // the login that comes now can be another one's
			continue
		case from == server:
			p.answered = true
			// Maybe it is shutting down, and says so.
			if err = s.passToClient(buffer[got:got+n], err, deadline); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		got += n
		h, ok := mysqlwire.ParseHeader(buffer[:got])
		if !ok {
			continue
		}
		if h.Sequence != 1 || h.Length > longestLogin {
			return s.strange(buffer[:got], h)
		}
		whole := mysqlwire.HeaderLen + h.Length
		if got < whole {
			if got == len(buffer) { // by and by: a header alone must not cost much memory
				buffer = append(buffer[:got:got], make([]byte, min(got, whole-got))...)
			}
			continue
		}
		login, err := s.parseLogin(buffer[mysqlwire.HeaderLen:whole])
		if err != nil {
			return s.strange(buffer[:got], h)
		}
		s.login.user, s.login.database, s.login.program = newWord(login.User), newWord(login.Database), newWord(login.Program())
		s.login.capabilities &= login.Capabilities
		if err := s.countLogin(login.SSLRequest); err != nil {
			return err
		}
		p.tls, p.early = login.SSLRequest, got > whole
		p.packet = s.room.keep(buffer[:got])
		if s.routed && !p.answered {
			if s.divert(login, p.packet, p.early); s.moving != nil {
				return nil
			}
		}
		if lost == nil {
			lost = s.passToServer(server, p.packet, deadline)
		}
		if lost != nil && isLoss(lost) && s.rescue(p, false) {
			return nil
		}
		return lost
	}
}

// mostAttributes is how many connection attributes a room keeps the memory for. Drivers send about ten; a packet of 4 KiB has
// place for 2,000 empty ones, which take 18 times as much.
const mostAttributes = 64

// parseLogin is good until the next one. Of an uncommon login nothing stays in the room: it would take too much memory while the
// server thinks about it, and while the room waits for the next one.
func (s *session) parseLogin(payload []byte) (*mysqlwire.Login, error) {
	login := &s.room.login
	err := login.Parse(payload)
	if len(payload) > packetBuffer || cap(login.Attributes) > mostAttributes {
		uncommon := *login
		*login, login = mysqlwire.Login{}, &uncommon
	}
	return login, err
}

// passVerdict carries the login on, whoever speaks, until the server has said yes or no. settled tells that neither has
// said more than the other one asked for. A server that is lost before it has said anything may leave s.moving instead.
func (s *session) passVerdict(server splice.Conn, p *passed, deadline time.Time) (settled bool, err error) {
	buffer := s.room.free(leastFree)
	var answers packetScanner
	unasked := p.early
	for asked := false; ; {
		from, n, err := s.awaitAnswer(server, p, buffer, deadline)
		if s.moving != nil {
			return false, nil
		}
		if from == server {
			p.answered = true
			if err := s.passToClient(buffer[:n], err, deadline); err != nil {
				return false, err
			}
			if answers.scan(buffer[:n]) {
				s.denied = answers.verdict == errPacket
				return answers.whole && !unasked, nil
			}
			asked = true
			continue
		}
		if err != nil {
			return false, err
		}
		unasked, asked = unasked || !asked, false
		p.early = unasked
		if err := s.passToServer(server, buffer[:n], deadline); err != nil {
			return false, err
		}
	}
}

// passToClient passes on what the server has said; err is the end of that, if it has come.
func (s *session) passToClient(b []byte, err error, deadline time.Time) error {
	if err != nil {
		return &serverError{err}
	}
	if err := s.task.Client().Write(b, deadline); err != nil {
		return err
	}
	s.Moved(0, uint64(len(b)))
	return nil
}

func (s *session) passToServer(server splice.Conn, b []byte, deadline time.Time) error {
	if err := server.Write(b, deadline); err != nil {
		return &serverError{err}
	}
	s.Moved(uint64(len(b)), 0)
	return nil
}

// The first bytes of OK and ERR packets (page_protocol_basic_ok_packet, page_protocol_basic_err_packet).
const (
	okPacket  = 0x00
	errPacket = 0xff
)

// packetScanner looks at the first byte of each packet of a stream.
type packetScanner struct {
	header [mysqlwire.HeaderLen]byte
	have   int // bytes of the header
	left   int // bytes of the payload still to come
	first  bool

	verdict byte // the first of an OK or ERR packet
	whole   bool // that was the last packet, and came to its end
}

// scan reads on, and tells whether an OK or ERR packet has begun: the verdict over a login
// (page_protocol_connection_phase). AuthSwitchRequest and AuthMoreData have other first bytes.
func (p *packetScanner) scan(b []byte) (verdict bool) {
	for len(b) > 0 {
		if p.have < len(p.header) {
			n := copy(p.header[p.have:], b)
			p.have += n
			b = b[n:]
			if p.have == len(p.header) {
				h, _ := mysqlwire.ParseHeader(p.header[:])
				p.left, p.first = h.Length, true
			}
		}
		if p.have == len(p.header) && p.left == 0 {
			p.have = 0
			continue
		}
		if len(b) == 0 {
			break
		}
		if p.first && (b[0] == okPacket || b[0] == errPacket) {
			p.verdict, p.whole = b[0], len(b) == p.left
			return true
		}
		p.first = false
		n := min(p.left, len(b))
		p.left -= n
		b = b[n:]
		if p.left == 0 {
			p.have = 0
		}
	}
	return false
}

// serverError is an error of the server's connection.
type serverError struct{ err error }

func (e *serverError) Error() string { return "server: " + e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// foreignError is a client whose first bytes are no login.
type foreignError struct{ reason string }

func (e *foreignError) Error() string { return "balancer: the client speaks " + e.reason }

// strange says what a first packet is that is no login.
func (s *session) strange(first []byte, h mysqlwire.Header) error {
	if kind := sniff.Foreign(first); kind != "" {
		return &foreignError{kind}
	}
	if h.Sequence == 1 && h.Length > longestLogin {
		return &foreignError{"login_too_long"}
	}
	return &foreignError{"not_mysql"}
}

// loginFailed concludes a session whose login did not come to its verdict. It returns false.
func (s *session) loginFailed(err error) bool {
	var foreign *foreignError
	var server *serverError
	var many *limitError
	switch {
	case errors.As(err, &many):
		s.farewell(many.answer, repliesFrom)
		s.turnAway(many.reason)
	case errors.As(err, &foreign):
		s.farewell(badHandshake, repliesFrom)
		s.turnAway(foreign.reason)
	case errors.Is(err, splice.ErrTimeout):
		s.turnAway("login_timeout")
	case errors.Is(err, splice.ErrCut):
		s.task.Client().Abort()
		s.conclude(s.cut().String())
	case errors.Is(err, splice.ErrClientGone):
		s.conclude(splice.ClientClosed.String())
	case errors.As(err, &server):
		end := loginEnd(err, splice.ServerClosed, splice.ServerReset, splice.ServerDead)
		if end != splice.ServerClosed {
			s.task.Client().Abort()
		}
		s.conclude(end.String())
	default:
		s.conclude(loginEnd(err, splice.ClientClosed, splice.ClientReset, splice.ClientDead).String())
	}
	return false
}

var badHandshake = &mysqlwire.ServerError{Code: 1043, State: "08S01", Message: "fairlead: bad handshake"}

// loginEnd tells from an error how a side's connection has ended.
func loginEnd(err error, closed, reset, dead splice.End) splice.End {
	switch {
	case errors.Is(err, io.EOF):
		return closed
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return dead
	}
	return reset
}

// turnForeignerAway ends a session whose client spoke, or closed, before it was greeted.
func (s *session) turnForeignerAway(server splice.Conn) bool {
	server.Close()
	client := s.task.Client()
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	n, err := client.Read(buffer[:], s.task.Now().Add(farewell))
	if err != nil {
		return s.loginFailed(err)
	}
	s.turnSpeakerAway(sniff.Foreign(buffer[:n]))
	return false
}

// turnSpeakerAway ends a session whose client speaks something else than MySQL, which it is told in its own words where
// there are any.
func (s *session) turnSpeakerAway(kind string) {
	client := s.task.Client()
	switch kind {
	case "http":
		_ = client.Write([]byte(wrongPort), s.task.Now().Add(farewell))
	case "tls":
	case "", SniffMySQL: // a login before the greeting is none
		kind = "not_mysql"
		fallthrough
	default:
		s.farewell(badHandshake, 0)
	}
	s.turnAway(kind)
}

const wrongPort = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 51\r\n\r\n" +
	"This port speaks the MySQL protocol, and not HTTP.\n"
