package fakefe

import (
	"bufio"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"fairlead/internal/mysqlwire"
)

// maxCommand bounds a command in bytes, as max_allowed_packet does; it lets tests send 64 MB and more.
const maxCommand = 256 << 20

// maxLogin bounds the packets before and during the login in bytes.
const maxLogin = 1 << 20

// errEnded ends a session: the connection is gone or was cut.
var errEnded = errors.New("fakefe: connection ended")

// session is one connection from its accept to its end. Its goroutine owns everything but the fields marked otherwise.
type session struct {
	fe     *FE
	id     uint32
	conn   *net.TCPConn
	client netip.AddrPort
	in     *bufio.Reader
	out    *bufio.Writer
	seq    byte // of the next packet to send
	caps   mysqlwire.Capability

	scramble []byte // the last one sent
	prepared map[uint32]*prepared
	lastStmt uint32

	// ended is closed by cut; killed gets a word from KILL QUERY.
	ended   chan struct{}
	cutOnce sync.Once
	killed  chan struct{}

	// user and database are changed by identify alone: SHOW PROCESSLIST reads them under fe.mu.
	user, database string
	// state, since (when it was entered) and whether it is counted belong to fe.mu.
	state   State
	since   time.Time
	counted bool
}

func newSession(fe *FE, conn *net.TCPConn, id uint32) *session {
	client, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return &session{
		fe: fe, id: id, conn: conn, client: client,
		// Small, so that thousands of idle sessions stay cheap; large results are written past it.
		in: bufio.NewReaderSize(conn, 4<<10), out: bufio.NewWriterSize(conn, 4<<10),
		ended: make(chan struct{}), killed: make(chan struct{}, 1),
	}
}

// cut ends the connection from outside, whatever its goroutine waits for.
func (s *session) cut(withReset bool) {
	s.cutOnce.Do(func() {
		if withReset {
			s.conn.SetLinger(0)
		}
		s.conn.Close()
		close(s.ended)
	})
}

// serve runs the connection to its end.
func (s *session) serve() {
	defer s.fe.work.Done()
	defer s.leaveTable()
	s.emit(Connected, "")
	if s.greet() != nil || s.logIn() != nil {
		return
	}
	s.enter(Idle)
	for {
		command, err := s.readPayload(maxCommand)
		if err != nil || len(command) == 0 {
			return
		}
		s.enter(Busy)
		if err := s.thaw(); err != nil {
			return
		}
		if fault, _ := s.fe.present(); fault == Slow && s.sleep(slowness) != nil {
			return
		}
		if err := s.command(command); err != nil {
			return
		}
		// Idle before the answer is out, so that whoever has read the answer finds the session so.
		s.enter(Idle)
		if err := s.out.Flush(); err != nil {
			return
		}
	}
}

func (s *session) leaveTable() {
	s.thaw() // a frozen process closes nothing, whatever its client does
	s.cut(false)
	s.fe.mu.Lock()
	delete(s.fe.mu.sessions, s.id)
	s.fe.count(s, ended)
	s.fe.mu.Unlock()
	s.emit(Disconnected, "")
}

func (s *session) enter(state State) {
	s.fe.mu.Lock()
	defer s.fe.mu.Unlock()
	if state == Busy {
		// Here and no later: from now on a KILL QUERY is for this command.
		select {
		case <-s.killed: // it came too late for the last one
		default:
		}
	}
	s.since = time.Now()
	s.fe.count(s, state)
}

// identify changes the session's user and database.
func (s *session) identify(user, database string) {
	s.fe.mu.Lock()
	defer s.fe.mu.Unlock()
	s.user, s.database = user, database
}

func (s *session) emit(kind EventKind, detail string) {
	s.fe.emit(Event{Kind: kind, Client: s.client, ConnectionID: s.id, User: s.user, Detail: detail})
}

// greet sends the first packet, or what the fault puts in its place.
func (s *session) greet() error {
	if err := s.awaitVoice(); err != nil {
		return err
	}
	fault, _ := s.fe.present()
	if fault == ErrorFirst {
		// Without a state: before the login nobody has agreed on one.
		e := mysqlwire.ServerError{Code: 1040, Message: "Too many connections"}
		s.writePayload(e.Append(nil, 0))
		s.out.Flush()
		return errEnded
	}
	s.scramble = newScramble()
	greeting := mysqlwire.Greeting{
		Version: s.fe.config.Version, ConnectionID: s.id, Scramble: s.scramble,
		Capabilities: s.fe.config.capabilities(), Charset: 33, AuthPlugin: mysqlwire.NativePassword,
	}
	if err := s.writePayload(greeting.Append(nil)); err != nil {
		return err
	}
	s.enter(LoggingIn)
	if err := s.out.Flush(); err != nil {
		return err
	}
	if fault == ResetAfterGreeting {
		if _, err := s.in.Peek(1); err == nil {
			s.cut(true)
		}
		return errEnded
	}
	return nil
}

// newScramble returns 20 random letters and digits: no NUL, which would end it for the client.
func newScramble() []byte { return []byte(rand.Text()[:20]) }

// command executes one command; an error ends the session.
func (s *session) command(payload []byte) error {
	body := payload[1:]
	switch payload[0] {
	case mysqlwire.ComQuit:
		return errEnded
	case mysqlwire.ComPing, mysqlwire.ComResetConnection:
		return s.writeOK()
	case mysqlwire.ComInitDB:
		s.identify(s.user, string(body))
		return s.writeOK()
	case mysqlwire.ComQuery:
		return s.query(string(body), false)
	case mysqlwire.ComFieldList, mysqlwire.ComSetOption:
		// No table has columns.
		return s.writePayload(mysqlwire.AppendEOF(nil, 0, 0, s.caps))
	case mysqlwire.ComStatistics:
		return s.writePayload([]byte("Uptime: 1  Threads: 1  Questions: 1"))
	case mysqlwire.ComProcessKill:
		if len(body) < 4 {
			return s.writeError(errMalformed)
		}
		id := uint32(body[0]) | uint32(body[1])<<8 | uint32(body[2])<<16 | uint32(body[3])<<24
		return s.answerKill(id, false)
	case mysqlwire.ComChangeUser:
		login, err := mysqlwire.ParseChangeUser(payload, s.caps)
		if err != nil {
			return s.refuse(errMalformed)
		}
		return s.changeUser(login)
	case mysqlwire.ComStmtPrepare, mysqlwire.ComStmtExecute, mysqlwire.ComStmtSendLong, mysqlwire.ComStmtClose, mysqlwire.ComStmtReset:
		return s.statementCommand(payload[0], body)
	}
	return s.writeError(&mysqlwire.ServerError{Code: 1047, State: "08S01", Message: "Unknown command"})
}

// readPayload reads one payload of at most limit bytes, which may have come in several packets.
func (s *session) readPayload(limit int) ([]byte, error) {
	var whole []byte
	for {
		h, p, err := mysqlwire.ReadPacket(s.in, nil, min(limit-len(whole), mysqlwire.MaxPayload))
		if errors.Is(err, mysqlwire.ErrTooLong) {
			s.seq = h.Sequence + 1
			return nil, s.refuse(&mysqlwire.ServerError{Code: 1153, State: "08S01", Message: "Got a packet bigger than 'max_allowed_packet' bytes"})
		}
		if err != nil {
			return nil, err
		}
		s.seq = h.Sequence + 1
		if whole == nil && h.Length < mysqlwire.MaxPayload {
			return p, nil
		}
		whole = append(whole, p...)
		if h.Length < mysqlwire.MaxPayload {
			return whole, nil
		}
	}
}

// kill is KILL: it ends a connection, or only its statement, and reports whether there is one.
func (fe *FE) kill(id uint32, onlyQuery bool) bool {
	if !onlyQuery {
		return fe.Cut(id, false)
	}
	fe.mu.Lock()
	defer fe.mu.Unlock()
	s := fe.mu.sessions[id]
	if s == nil {
		return false
	}
	if s.state != Busy {
		return true
	}
	select {
	case s.killed <- struct{}{}:
	default: // told already
	}
	return true
}

// shorten cuts a statement for an event.
func shorten(statement string) string {
	const longest = 200
	return strings.ToValidUTF8(statement[:min(len(statement), longest)], "")
}
