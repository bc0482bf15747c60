package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"fairlead/internal/mysqlwire"
)

// maxGreeting bounds the greeting's payload in bytes. Real ones have about 100; the first bytes of other
// protocols, read as a length, mean millions.
const maxGreeting = 64 << 10

// errNotMySQL says that the first bytes belong to another protocol.
var errNotMySQL = errors.New("probe: not a MySQL greeting")

// mysql is the probe that waits for the greeting, and logs in where it is told to.
func (a *attempt) mysql(ctx context.Context) *fault {
	var l *link
	var g mysqlwire.Greeting
	f := a.first(ctx, func(deadline time.Time, address netip.AddrPort) (f *fault) {
		l, g, f = a.greet(ctx, deadline, address)
		return f
	})
	if f != nil {
		return f
	}
	if a.config.User == "" {
		return nil
	}
	return a.loginAndQuery(l, g)
}

// greet connects and reads the greeting.
func (a *attempt) greet(ctx context.Context, deadline time.Time, address netip.AddrPort) (*link, mysqlwire.Greeting, *fault) {
	l, f := a.connect(ctx, deadline, address)
	if f != nil {
		return nil, mysqlwire.Greeting{}, f
	}
	a.result.Step = StepGreeting
	start := time.Now()
	l.until(deadline)
	g, received, err := readGreeting(l)
	if err != nil {
		return nil, g, a.greetingFault(received, err)
	}
	end, _ := ctx.Deadline()
	l.until(end)
	a.result.Greeting = time.Since(start)
	a.result.Version, a.result.ConnectionID = printable(g.Version), g.ConnectionID
	return l, g, nil
}

// progress is how much of a packet has arrived; expected is 0 while its length is not known.
type progress struct{ received, expected int }

// readGreeting reads the first packet of a server, all of it and nothing beyond. Errors wrap errNotMySQL or
// mysqlwire.ErrMalformed, or are a *mysqlwire.ServerError or what reading gave.
func readGreeting(r io.Reader) (mysqlwire.Greeting, progress, error) {
	var raw [mysqlwire.HeaderLen]byte
	n, err := io.ReadFull(r, raw[:])
	if err != nil {
		return mysqlwire.Greeting{}, progress{received: n}, err
	}
	h, _ := mysqlwire.ParseHeader(raw[:])
	p := progress{received: n, expected: n + h.Length}
	if h.Length > maxGreeting {
		return mysqlwire.Greeting{}, p, fmt.Errorf("%w: %s", errNotMySQL, otherProtocol(raw[:]))
	}
	payload := make([]byte, h.Length)
	n, err = io.ReadFull(r, payload)
	p.received += n
	if err != nil {
		return mysqlwire.Greeting{}, p, err
	}
	// Protocol X begins with a notice of 5 bytes, type 11 (mysqlx_notice.proto, SERVER_HELLO).
	if h.Length == 5 && payload[0] == 11 {
		return mysqlwire.Greeting{}, p, fmt.Errorf("%w: it looks like MySQL's X protocol, whose port is another", errNotMySQL)
	}
	g, err := mysqlwire.ParseGreeting(payload)
	return g, p, err
}

// otherProtocol says what the first four bytes look like.
func otherProtocol(b []byte) string {
	text := string(b)
	switch {
	case strings.HasPrefix(text, "HTTP"):
		return "it looks like an HTTP server"
	case strings.HasPrefix(text, "SSH-"):
		return "it looks like an SSH server"
	case (b[0] == 0x15 || b[0] == 0x16) && b[1] == 3: // an alert or a handshake of TLS 1.x (RFC 8446, 5.1)
		return "it looks like a TLS server"
	}
	return "it begins with " + quoted(text)
}

func (a *attempt) greetingFault(p progress, err error) *fault {
	if f := localTrouble(StepGreeting, err); f != nil {
		return f
	}
	var refusal *mysqlwire.ServerError
	switch {
	case errors.As(err, &refusal):
		return unfit(StepGreeting, failGreetingError, "the server refuses: %s", serverWords(refusal)).byServer()
	case errors.Is(err, errNotMySQL), errors.Is(err, mysqlwire.ErrMalformed):
		text := strings.TrimPrefix(err.Error(), "probe: ")
		return unfit(StepGreeting, failGreetingMalformed, "%s", printable(text)).byServer()
	case isTimeout(err) && p.received == 0:
		return unfit(StepGreeting, failGreetingTimeout,
			"nothing received within %s (TCP connects; the server may be frozen)", span(a.config.Timeout))
	case isTimeout(err):
		return unfit(StepGreeting, failGreetingTimeout, "only %s received within %s", p, span(a.config.Timeout))
	case isClosed(err) && p.received == 0:
		return unfit(StepGreeting, failGreetingClosed, "%s without a greeting", howClosed(err))
	case isClosed(err):
		return unfit(StepGreeting, failGreetingClosed, "%s after %s", howClosed(err), p)
	}
	return unfit(StepGreeting, failGreetingClosed, "%s", rootCause(err))
}

func (p progress) String() string {
	if p.expected == 0 {
		return fmt.Sprintf("%d bytes", p.received)
	}
	return fmt.Sprintf("%d of %d bytes", p.received, p.expected)
}

// serverWords renders an ERR packet for people.
func serverWords(e *mysqlwire.ServerError) string {
	state := ""
	if e.State != "" {
		state = " (" + printable(e.State) + ")"
	}
	return fmt.Sprintf("error %d%s %s", e.Code, state, quoted(e.Message))
}
