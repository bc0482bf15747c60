package probe

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"

	"fairlead/internal/mysqlwire"
)

const (
	// maxAnswers bounds all that a server may send after its greeting, in bytes: SHOW FRONTENDS takes about 300 a row.
	maxAnswers = 1 << 20
	// maxColumns bounds the columns of a result, to what fits into the one-byte form of their number.
	maxColumns = 250
)

var errTooMuch = fmt.Errorf("%w: more than %d bytes", mysqlwire.ErrMalformed, maxAnswers)

// session is the connection that the MySQL driver is given. It begins again with the greeting, which
// has been read before, and stands between driver and server: the driver indexes packets without looking at their
// length and makes room for as many columns as it is told of. So each packet that it acts upon is read and checked
// here, and written anew for it. Once TLS begins nothing can be seen any more but the number of bytes.
type session struct {
	net.Conn
	pending []byte // checked, and not yet read by the driver
	buffer  []byte
	left    int // bytes that the server may still send
	phase   phase
	last    byte // first byte of the latest packet from the server
	spoken  bool // the driver has written something
	tls     bool // what comes now can't be seen
	closed  bool // by the driver
	// err is the first failed read. The driver tells its logger, and its caller only of a bad connection.
	err error
}

type phase int

const (
	phaseLogin  phase = iota
	phaseAnswer       // the next packet is the first one of an answer
	phaseRows         // and here are the others
)

// newSession returns the session whose server has sent the greeting g, or an error if g is too old for the driver.
func newSession(conn net.Conn, g mysqlwire.Greeting) (*session, error) {
	if !g.Capabilities.Has(mysqlwire.ClientProtocol41 | mysqlwire.ClientSecureConnection) {
		return nil, errors.New("the server is too old: it knows neither protocol 4.1 nor its passwords")
	}
	s := &session{Conn: conn, left: maxAnswers}
	s.pending, _ = mysqlwire.AppendPacket(nil, g.Append(nil), 0)
	return s, nil
}

func (s *session) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if len(s.pending) == 0 && !s.tls {
		if s.err = s.next(); s.err != nil {
			return 0, s.err
		}
	}
	if len(s.pending) > 0 {
		n := copy(p, s.pending)
		s.pending = s.pending[n:]
		return n, nil
	}
	n, err := s.Conn.Read(p)
	if s.left -= n; s.left < 0 && err == nil {
		err = errTooMuch
	}
	s.err = err
	return n, err
}

// next reads a packet into pending.
func (s *session) next() error {
	h, payload, err := mysqlwire.ReadPacket(s.Conn, s.buffer, s.left)
	if errors.Is(err, mysqlwire.ErrTooLong) {
		return errTooMuch
	}
	if err != nil {
		return err
	}
	s.buffer = payload
	s.left -= mysqlwire.HeaderLen + len(payload)
	checked, err := s.check(payload)
	if err != nil {
		return err
	}
	s.pending = append(mysqlwire.AppendHeader(s.pending[:0], len(checked), h.Sequence), checked...)
	return nil
}

// check returns the payload as the driver may see it.
func (s *session) check(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, fmt.Errorf("%w: empty packet", mysqlwire.ErrMalformed)
	}
	first := payload[0]
	s.last = first
	if first == 0xff {
		e, err := mysqlwire.ParseError(payload)
		if err != nil {
			return nil, err
		}
		return e.Append(nil, mysqlwire.ClientProtocol41), nil
	}
	switch s.phase {
	case phaseLogin:
		return s.checkLogin(payload)
	case phaseAnswer:
		s.phase = phaseRows
		switch {
		case first == 0:
			_, err := mysqlwire.ParseOK(payload, mysqlwire.ClientProtocol41)
			return payload, err
		case first > maxColumns:
			return nil, fmt.Errorf("%w: answer begins with 0x%02x: not a result of at most %d columns",
				mysqlwire.ErrMalformed, first, maxColumns)
		}
	}
	return payload, nil
}

func (s *session) checkLogin(payload []byte) ([]byte, error) {
	switch payload[0] {
	case 0: // OK
		s.phase = phaseAnswer
		_, err := mysqlwire.ParseOK(payload, mysqlwire.ClientProtocol41)
		return payload, err
	case 0xfe:
		change, err := mysqlwire.ParseAuthSwitch(payload)
		if err == nil && change.Plugin == mysqlwire.NativePassword && len(change.Data) < 20 {
			err = fmt.Errorf("%w: scramble of %d bytes", mysqlwire.ErrMalformed, len(change.Data))
		}
		return payload, err
	case 1: // AuthMoreData
		return payload, checkPublicKey(payload[1:])
	}
	return nil, fmt.Errorf("%w: login answered by 0x%02x", mysqlwire.ErrMalformed, payload[0])
}

// checkPublicKey refuses a server's key that is not RSA's, as the driver takes it to be. Other data is left to it.
func checkPublicKey(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%w: public key: %w", mysqlwire.ErrMalformed, err)
	}
	if _, ok := key.(*rsa.PublicKey); !ok {
		return fmt.Errorf("%w: public key of another kind than RSA", mysqlwire.ErrMalformed)
	}
	return nil
}

// cutShort says that an answer whose rows the driver found at an end has none: the driver takes a row that is
// shorter than it says for the end. Through TLS that can't be seen.
func (s *session) cutShort() bool { return s.phase == phaseRows && s.last != 0xfe }

func (s *session) Write(p []byte) (int, error) {
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	switch h, ok := mysqlwire.ParseHeader(p); {
	case s.phase == phaseRows && ok && h.Sequence == 0:
		s.phase = phaseAnswer
	case s.phase == phaseLogin && !s.spoken && ok:
		// SSLRequest is the first half of a login, and everything after it is TLS.
		if login, err := mysqlwire.ParseLogin(p[mysqlwire.HeaderLen:]); err == nil && login.SSLRequest {
			s.tls = true
		}
	}
	s.spoken = true
	n, err := s.Conn.Write(p)
	if err != nil && s.err == nil {
		s.err = err
	}
	return n, err
}

// Close leaves the connection to the attempt, which ends it in an orderly way.
func (s *session) Close() error {
	s.closed = true
	return nil
}
