package balancer

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// awaitGreeting reads the server's first packet, whole. An ERR in its place is a failure like any other. It is good until
// the set-up is over.
func (s *session) awaitGreeting(server splice.Conn, connecting step, deadline time.Time) ([]byte, error) {
	room := s.enter()
	buffer := room.free()
	got, during, err := s.firstWords(server, buffer, connecting, deadline)
	if err != nil {
		return nil, err
	}
	for {
		length, err := s.readGreeting(buffer[:got])
		if err != nil {
			return nil, err
		}
		if length > 0 {
			return room.keep(buffer[:got]), nil
		}
		n, err := server.Read(buffer[got:], during.until)
		if err != nil {
			return nil, greetingError(err, during)
		}
		got += n
	}
}

// firstWords reads what a server says first; where the engine did not wait for the connect, that tells how it went as well.
// The greeting has its time from the connect on: it is returned for what is still to come.
func (s *session) firstWords(server splice.Conn, b []byte, connecting step, deadline time.Time) (int, step, error) {
	begun := connecting.begun
	during := s.step(begun, min(s.config.ConnectTimeout, s.config.GreetingTimeout), deadline)
	for {
		n, err := server.Read(b, during.until)
		took, connected := server.Connected()
		greeting := s.step(begun.Add(took), s.config.GreetingTimeout, deadline)
		switch timeout := errors.Is(err, splice.ErrTimeout); {
		case timeout && !connected && time.Now().Before(connecting.until):
			during = connecting
		case timeout && connected && time.Now().Before(greeting.until):
			during = greeting
		case err == nil:
			s.noteConnected(took)
			return n, greeting, nil
		case connected, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
			s.noteConnected(took)
			return 0, greeting, greetingError(err, greeting)
		default:
			return 0, greeting, connectError(err, connecting)
		}
	}
}

// readGreeting reads a server's first packet, as far as it has come: length is 0 until it is whole.
func (s *session) readGreeting(b []byte) (length int, err error) {
	h, ok := mysqlwire.ParseHeader(b)
	if !ok {
		return 0, nil
	}
	if h.Sequence != 0 || h.Length > packetBuffer-mysqlwire.HeaderLen {
		return 0, &setupError{reason: "greeting_malformed", text: "greeting: this is not the MySQL protocol"}
	}
	whole := mysqlwire.HeaderLen + h.Length
	if len(b) < whole {
		return 0, nil
	}
	greeting, err := mysqlwire.ParseGreeting(b[mysqlwire.HeaderLen:whole])
	var refused *mysqlwire.ServerError
	switch {
	case errors.As(err, &refused):
		return 0, &setupError{reason: "greeting_error", text: fmt.Sprintf("greeting: error %d: %.200q", refused.Code, refused.Message)}
	case err != nil:
		return 0, &setupError{reason: "greeting_malformed", text: "greeting: " + err.Error()}
	}
	s.login.connectionID, s.login.capabilities = greeting.ConnectionID, greeting.Capabilities
	s.tells = greeting.Status&mysqlwire.StatusAutocommit != 0
	return whole, nil
}

// greetingError places the blame for a greeting that did not come.
func greetingError(err error, during step) error {
	switch {
	case errors.Is(err, splice.ErrClientGone), errors.Is(err, splice.ErrCut):
		return err
	case errors.Is(err, splice.ErrTimeout):
		return during.overdue("greeting")
	case errors.Is(err, io.EOF):
		return &setupError{reason: "greeting_closed", text: "greeting: closed instead"}
	case errors.Is(err, syscall.ECONNRESET):
		return &setupError{reason: "greeting_reset", text: "greeting: reset instead"}
	}
	return &setupError{reason: "greeting_failed", text: "greeting: " + kernelWords(err)}
}
