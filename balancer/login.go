package balancer

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"fairlead/balancer/sniff"
	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

const (
	// packetBuffer holds every greeting and nearly every login; a longer login gets a buffer of its own.
	packetBuffer = 4 << 10
	// longestLogin bounds a client's first packet: MariaDB's server takes 16 KiB before the login, and connection
	// attributes may make it four times that with others.
	longestLogin = 64 << 10
	// farewell bounds the write of an ERR packet to a client that is turned away.
	farewell = time.Second
)

var packetBuffers = sync.Pool{New: func() any { return new([packetBuffer]byte) }}

// awaitGreeting reads the server's first packet, whole. An ERR in its place is a failure like any other.
func (s *session) awaitGreeting(server splice.Conn, during step) ([]byte, error) {
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	got := 0
	for {
		n, err := server.Read(buffer[got:], during.until)
		if err != nil {
			return nil, greetingError(err, during)
		}
		got += n
		h, ok := mysqlwire.ParseHeader(buffer[:got])
		if !ok {
			continue
		}
		if h.Sequence != 0 || h.Length > packetBuffer-mysqlwire.HeaderLen {
			return nil, &setupError{reason: "greeting_malformed", text: "greeting: this is not the MySQL protocol"}
		}
		if got < mysqlwire.HeaderLen+h.Length {
			continue
		}
		greeting, err := mysqlwire.ParseGreeting(buffer[mysqlwire.HeaderLen : mysqlwire.HeaderLen+h.Length])
		var refused *mysqlwire.ServerError
		switch {
		case errors.As(err, &refused):
			return nil, &setupError{reason: "greeting_error", text: fmt.Sprintf("greeting: error %d: %.200q", refused.Code, refused.Message)}
		case err != nil:
			return nil, &setupError{reason: "greeting_malformed", text: "greeting: " + err.Error()}
		}
		s.login.connectionID = greeting.ConnectionID
		return append([]byte(nil), buffer[:got]...), nil
	}
}

// logIn hands the greeting to the client and carries the login to its verdict, reading along. It returns false
// when the session is over, which it has then concluded.
func (s *session) logIn(server splice.Conn, greeting []byte, joint *splice.Joint) bool {
	client := s.task.Client()
	if client.Pending() { // whoever speaks before the greeting does not speak MySQL, or has gone
		return s.turnForeignerAway(server)
	}
	var deadline time.Time
	if s.listener.config.LoginTimeout > 0 {
		deadline = time.Now().Add(s.listener.config.LoginTimeout)
	}
	if err := client.Write(greeting, deadline); err != nil {
		return s.loginFailed(err, "client")
	}
	s.toClient.Add(uint64(len(greeting)))
	tls, err := s.passLogin(server, deadline)
	if err != nil {
		return s.loginFailed(err, "client")
	}
	if tls {
		// What follows can't be read. Hello, answer, login and verdict are four turns at least.
		joint.Proof, joint.Turns = deadline, loginTurns
		if deadline.IsZero() {
			joint.Turns = 0
		}
		return true
	}
	whole, ok := s.passVerdict(server, deadline)
	joint.Settled = whole
	return ok
}

// loginTurns is how often a login over TLS changes direction after the SSLRequest, at least (TLS 1.3: ClientHello, the
// server's flight, the client's with the login in it, the server's verdict).
const loginTurns = 4

// passLogin reads the client's first packet, notes who it is, and passes it on.
func (s *session) passLogin(server splice.Conn, deadline time.Time) (tls bool, err error) {
	client := s.task.Client()
	fixed := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(fixed)
	buffer, got := fixed[:], 0
	for {
		from, n, err := s.task.ReadEither(server, buffer[got:], deadline)
		if from != client && err == nil {
			return false, errServerSpoke
		}
		if err != nil {
			if from != client {
				return false, &sideError{"server", err}
			}
			return false, err
		}
		got += n
		h, ok := mysqlwire.ParseHeader(buffer[:got])
		if !ok {
			continue
		}
		if h.Sequence != 1 || h.Length > longestLogin {
			return false, s.strange(buffer[:got], h)
		}
		whole := mysqlwire.HeaderLen + h.Length
		if whole > len(buffer) {
			buffer = append(make([]byte, 0, whole), buffer[:got]...)[:whole]
		}
		if got < whole {
			continue
		}
		login, err := mysqlwire.ParseLogin(buffer[mysqlwire.HeaderLen:whole])
		if err != nil {
			return false, s.strange(buffer[:got], h)
		}
		s.login.user, s.login.database, s.login.program = newWord(login.User), newWord(login.Database), newWord(program(login))
		s.toServer.Add(uint64(got))
		if err := server.Write(buffer[:got], deadline); err != nil {
			return false, &sideError{"server", err}
		}
		return login.SSLRequest, nil
	}
}

// passVerdict carries the login on, whoever speaks, until the server has said yes or no. whole tells that its word was
// passed on to the last byte, and nothing after it.
func (s *session) passVerdict(server splice.Conn, deadline time.Time) (whole, ok bool) {
	client := s.task.Client()
	fixed := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(fixed)
	var answers packetScanner
	for {
		from, n, err := s.task.ReadEither(server, fixed[:], deadline)
		to, fromSide, toSide, count := server, "client", "server", &s.toServer
		if from == server {
			to, fromSide, toSide, count = client, "server", "client", &s.toClient
		}
		if err != nil {
			return false, s.loginFailed(err, fromSide)
		}
		if err := to.Write(fixed[:n], deadline); err != nil {
			return false, s.loginFailed(err, toSide)
		}
		count.Add(uint64(n))
		if from == server && answers.scan(fixed[:n]) {
			return answers.whole, true
		}
	}
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
	whole  bool // the verdict was the last packet, and came to its end
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
			p.whole = len(b) == p.left
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

// program is what the client calls itself in its connection attributes.
func program(l mysqlwire.Login) string {
	var name string
	for _, a := range l.Attributes {
		switch a.Name {
		case "program_name":
			return a.Value
		case "_client_name":
			name = a.Value
		}
	}
	return name
}

// sideError tells whose connection an error came from.
type sideError struct {
	side string
	err  error
}

func (e *sideError) Error() string { return e.side + ": " + e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

// foreignError is a client whose first bytes are no login.
type foreignError struct{ reason string }

func (e *foreignError) Error() string { return "balancer: the client speaks " + e.reason }

var errServerSpoke = errors.New("balancer: the server spoke before the login")

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

// loginFailed concludes a session whose login did not come to its verdict. side is whose connection failed, unless the
// error knows.
func (s *session) loginFailed(err error, side string) bool {
	var foreign *foreignError
	var sided *sideError
	if errors.As(err, &sided) {
		side = sided.side
	}
	switch {
	case errors.As(err, &foreign):
		s.farewell(&mysqlwire.ServerError{Code: 1043, State: "08S01", Message: "fairlead: bad handshake"}, 2)
		s.turnAway(foreign.reason)
	case errors.Is(err, splice.ErrTimeout):
		s.turnAway("login_timeout")
	case errors.Is(err, splice.ErrCut):
		s.task.Client().Abort()
		s.conclude(splice.Drained.String())
	case errors.Is(err, errServerSpoke):
		s.task.Client().Abort()
		s.conclude("server_spoke")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		s.conclude(s.broken(side))
	default:
		s.conclude(side + "_closed")
	}
	return false
}

// broken passes a reset on to the client.
func (s *session) broken(side string) string {
	if side == "server" {
		s.task.Client().Abort()
	}
	return side + "_reset"
}

// turnForeignerAway ends a session whose client spoke, or closed, before it was greeted.
func (s *session) turnForeignerAway(server splice.Conn) bool {
	server.Close()
	client := s.task.Client()
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	n, err := client.Read(buffer[:], time.Now().Add(farewell))
	if err != nil {
		return s.loginFailed(err, "client")
	}
	kind := sniff.Foreign(buffer[:n])
	switch kind {
	case "http":
		_ = client.Write([]byte(wrongPort), time.Now().Add(farewell))
	case "tls":
	case "":
		kind = "not_mysql"
		fallthrough
	default:
		s.farewell(&mysqlwire.ServerError{Code: 1043, State: "08S01", Message: "fairlead: bad handshake"}, 0)
	}
	s.turnAway(kind)
	return false
}

const wrongPort = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 51\r\n\r\n" +
	"This port speaks the MySQL protocol, and not HTTP.\n"
