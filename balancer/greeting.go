package balancer

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
)

// awaitGreeting reads the server's first packet, whole. An ERR in its place is a failure like any other. It is good until
// the set-up is over.
func (s *session) awaitGreeting(server splice.Conn, during step) ([]byte, error) {
	room := s.enter()
	buffer := room.free(packetBuffer)
	for got := 0; ; {
		n, err := server.Read(buffer[got:], during.until)
		if err != nil {
			return nil, greetingError(err, during)
		}
		got += n
		whole, err := s.readGreeting(buffer[:got])
		if err != nil {
			return nil, err
		}
		if whole {
			return room.keep(buffer[:got]), nil
		}
	}
}

// readGreeting reads a server's first packet, and tells whether all of it has come.
func (s *session) readGreeting(b []byte) (whole bool, err error) {
	h, ok := mysqlwire.ParseHeader(b)
	if !ok {
		return false, nil
	}
	if h.Sequence != 0 || h.Length > packetBuffer-mysqlwire.HeaderLen {
		return false, &setupError{reason: "greeting_malformed", text: "greeting: this is not the MySQL protocol"}
	}
	end := mysqlwire.HeaderLen + h.Length
	if len(b) < end {
		return false, nil
	}
	greeting := &s.room.greeting
	if err := greeting.Parse(b[mysqlwire.HeaderLen:end]); err != nil {
		return false, noGreeting(err)
	}
	s.login.connectionID, s.login.capabilities = greeting.ConnectionID, greeting.Capabilities
	s.tells = greeting.Status&mysqlwire.StatusAutocommit != 0
	return true, nil
}

// noGreeting is the failure of a server whose first packet is something else.
func noGreeting(err error) *setupError {
	if refused, ok := errors.AsType[*mysqlwire.ServerError](err); ok {
		return &setupError{reason: "greeting_error", text: fmt.Sprintf("greeting: error %d: %.200q", refused.Code, refused.Message)}
	}
	return &setupError{reason: "greeting_malformed", text: "greeting: " + err.Error()}
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
