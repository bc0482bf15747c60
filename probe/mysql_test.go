package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// expectation is what a result must be; reason is a part of it.
type expectation struct {
	verdict Verdict
	step    Step
	failure string
	reason  string
}

func (e expectation) check(t *testing.T, r Result) {
	t.Helper()
	if r.Verdict != e.verdict || r.Step != e.step || r.Failure != e.failure || !strings.Contains(r.Reason, e.reason) {
		t.Errorf("got %v, %s, %s, %q; want %v, %s, %s, %q",
			r.Verdict, r.Step, r.Failure, r.Reason, e.verdict, e.step, e.failure, e.reason)
	}
	if (r.Reason == "") != (r.Verdict == Fit) || (r.Failure == "") != (r.Verdict == Fit) {
		t.Errorf("%v with the reason %q and the failure %q", r.Verdict, r.Reason, r.Failure)
	}
	if r.Reason != "" && !strings.HasPrefix(r.Reason, string(r.Step)+": ") {
		t.Errorf("the reason %q does not begin with the step %s", r.Reason, r.Step)
	}
}

func TestGreeting(t *testing.T) {
	whole := packet(starRocks().Append(nil), 0)
	writes := func(text string) func(net.Conn) {
		return func(conn net.Conn) {
			io.WriteString(conn, text)
			io.Copy(io.Discard, conn)
		}
	}
	ends := func(b []byte) func(net.Conn) {
		return func(conn net.Conn) { conn.Write(b) }
	}
	for name, test := range map[string]struct {
		handle func(net.Conn)
		want   expectation
	}{
		"fit": {says(starRocks().Append(nil)), expectation{Fit, StepGreeting, "", ""}},
		"ERR first": {says(refusal(1040, "08004", "Too many connections")), expectation{Unfit, StepGreeting, failGreetingError,
			`the server refuses: error 1040 (08004) "Too many connections"`}},
		"ERR first, without a state": {says([]byte("\xff\x69\x04Host is blocked\n")), expectation{Unfit, StepGreeting,
			failGreetingError, `error 1129 "Host is blocked\n"`}},
		"closed":          {ends(nil), expectation{Unfit, StepGreeting, failGreetingClosed, "the server closed the connection without a greeting"}},
		"closed midway":   {ends(whole[:20]), expectation{Unfit, StepGreeting, failGreetingClosed, "closed the connection after 20 of 78 bytes"}},
		"closed in front": {ends(whole[:3]), expectation{Unfit, StepGreeting, failGreetingClosed, "after 3 bytes"}},
		"HTTP":            {writes("HTTP/1.1 400 Bad Request\r\n\r\n"), expectation{Unfit, StepGreeting, failGreetingMalformed, "not a MySQL greeting: it looks like an HTTP server"}},
		"SSH":             {writes("SSH-2.0-OpenSSH_9.2\r\n"), expectation{Unfit, StepGreeting, failGreetingMalformed, "an SSH server"}},
		"TLS alert":       {writes("\x15\x03\x03\x00\x02\x02\x32"), expectation{Unfit, StepGreeting, failGreetingMalformed, "a TLS server"}},
		"SMTP":            {writes("220 mail ESMTP\r\n"), expectation{Unfit, StepGreeting, failGreetingMalformed, `it begins with "220 "`}},
		"X protocol":      {writes("\x05\x00\x00\x00\x0b\x08\x05\x1a\x00"), expectation{Unfit, StepGreeting, failGreetingMalformed, "X protocol"}},
		"rubbish":         {writes("\x03\x00\x00\x00abc"), expectation{Unfit, StepGreeting, failGreetingMalformed, "protocol version"}},
		"empty":           {writes("\x00\x00\x00\x00"), expectation{Unfit, StepGreeting, failGreetingMalformed, "malformed"}},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, test.handle)
			r := Once(t.Context(), Config{Timeout: long}, at(address))
			test.want.check(t, r)
			if r.Address != address || r.Connect <= 0 || r.Total < r.Connect+r.Greeting || r.At.IsZero() {
				t.Errorf("incomplete: %+v", r)
			}
			if test.want.verdict == Fit && (r.Version != "8.0.33" || r.ConnectionID != 0x01000007 || r.Greeting <= 0) {
				t.Errorf("the greeting is not told of: %+v", r)
			}
		})
	}
}

func TestResetIsToldFromEnd(t *testing.T) {
	a := new(attempt)
	for err, want := range map[error]string{
		io.EOF:                                  "the server closed the connection without a greeting",
		&net.OpError{Err: syscall.ECONNRESET}:   "the server reset the connection without a greeting",
		fmt.Errorf("wrapped: %w", os.ErrClosed): "wrapped: file already closed",
	} {
		if f := a.greetingFault(progress{}, err); f.text != want || f.failure != failGreetingClosed || f.answered {
			t.Errorf("%v: %+v", err, f)
		}
	}
	if f := a.connectFault(netip.AddrPort{}, syscall.ECONNRESET); f.failure != failConnectError || !strings.Contains(f.text, "connection reset") {
		t.Errorf("%+v", f)
	}
}

func TestGreetingTimesOut(t *testing.T) {
	whole := packet(starRocks().Append(nil), 0)
	for name, test := range map[string]struct {
		sent []byte
		want string
	}{
		"silent":  {nil, "greeting: nothing received within 300ms (TCP connects; the server may be frozen)"},
		"partial": {whole[:20], "greeting: only 20 of 78 bytes received within 300ms"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, func(conn net.Conn) {
				conn.Write(test.sent)
				io.Copy(io.Discard, conn)
			})
			r := Once(t.Context(), Config{Timeout: 300 * time.Millisecond}, at(address))
			expectation{Unfit, StepGreeting, failGreetingTimeout, test.want}.check(t, r)
		})
	}
}

// A front end logs a stack trace over a connection that is reset before its login.
func TestProbesEndWithFIN(t *testing.T) {
	for name, config := range map[string]Config{
		"mysql": {Timeout: long}, "tcp": {Type: TypeTCP, Timeout: long},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			address := serve(t, func(conn net.Conn) {
				// More than the greeting: it may not be left unread either.
				conn.Write(packet(starRocks().Append(nil), 0))
				conn.Write(bytes.Repeat([]byte("x"), 10000))
				n, err := io.Copy(io.Discard, conn)
				if n > 0 {
					err = errors.New("the probe has sent something")
				}
				ended <- err
			})
			if r := Once(t.Context(), config, at(address)); r.Verdict != Fit {
				t.Fatal(r.Reason)
			}
			if err := <-ended; err != nil {
				t.Errorf("the server saw no orderly end: %v", err)
			}
		})
	}
}

func TestConnectFailures(t *testing.T) {
	closed := closedPort(t)
	for _, kind := range []string{TypeMySQL, TypeTCP} {
		r := Once(t.Context(), Config{Type: kind, Timeout: long}, at(closed))
		expectation{Unfit, StepConnect, failConnectRefused, closed.String() + " refuses connections"}.check(t, r)
		r = Once(t.Context(), Config{Type: kind}, Target{Host: "fe1.example"})
		expectation{Unfit, StepResolve, failResolve, `no address is known for "fe1.example"`}.check(t, r)
		r = Once(t.Context(), Config{Type: kind}, Target{Host: "\x1bfe", Addresses: func() []netip.AddrPort { return nil }})
		expectation{Unfit, StepResolve, failResolve, `"\x1bfe"`}.check(t, r)
	}
}

// What fails on this side is no evidence.
func TestOwnTroubleIsNoEvidence(t *testing.T) {
	address := serve(t, says(starRocks().Append(nil)))
	// An address of the test network (RFC 5737) is none of this machine's.
	r := Once(t.Context(), Config{Timeout: long, Source: netip.MustParseAddr("192.0.2.1")}, at(address))
	expectation{Undecided, StepConnect, failLocal, "this machine's own trouble"}.check(t, r)

	ctx, cancel := context.WithCancel(t.Context())
	silent := serve(t, func(conn net.Conn) {
		cancel()
		io.Copy(io.Discard, conn)
	})
	r = Once(ctx, Config{Timeout: long}, at(silent))
	expectation{Undecided, r.Step, failCanceled, "canceled"}.check(t, r)

	r = Once(t.Context(), Config{Type: "ping"}, at(address))
	expectation{Undecided, StepConnect, failConfig, `type "ping" is not known`}.check(t, r)
	if r.ConfigError != r.Reason {
		t.Errorf("no configuration error: %+v", r)
	}
}

// TestFilesWithoutDescriptors: when a file can't be read because descriptors are short, it is not the configuration's fault.
func TestFilesWithoutDescriptors(t *testing.T) {
	short := unreadable(StepLogin, "password_file", &os.PathError{Op: "open", Path: "secret", Err: syscall.EMFILE})
	if short.config || short.failure != failLocal || short.verdict != Undecided || !strings.Contains(short.text, "too many open files (raise the limit") {
		t.Errorf("short of descriptors: %+v", short)
	}
	missing := unreadable(StepLogin, "password_file", &os.PathError{Op: "open", Path: "secret", Err: syscall.ENOENT})
	if !missing.config || missing.failure != failConfig || !strings.Contains(missing.text, "password_file: open secret") {
		t.Errorf("a missing file: %+v", missing)
	}
}

func TestSourceOfTheSameFamily(t *testing.T) {
	peer := make(chan netip.AddrPort, 2)
	address := serve(t, func(conn net.Conn) {
		peer <- netip.MustParseAddrPort(conn.RemoteAddr().String())
		says(starRocks().Append(nil))(conn)
	})
	for source, want := range map[string]string{"127.0.0.2": "127.0.0.2", "::ffff:127.0.0.3": "127.0.0.3", "::1": "127.0.0.1"} {
		if r := Once(t.Context(), Config{Timeout: long, Source: netip.MustParseAddr(source)}, at(address)); r.Verdict != Fit {
			t.Skipf("%s can't be connected from here: %s", source, r.Reason)
		}
		if got := (<-peer).Addr().String(); got != want {
			t.Errorf("source %s: came from %s", source, got)
		}
	}
}

func TestFirstAddressThatAnswersDecides(t *testing.T) {
	t.Parallel()
	closed, fit := closedPort(t), serve(t, says(starRocks().Append(nil)))
	silent := serve(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	full := serve(t, says(refusal(1040, "08004", "Too many connections")))
	for name, test := range map[string]struct {
		addresses []netip.AddrPort
		timeout   time.Duration
		decides   netip.AddrPort
		want      expectation
	}{
		"the second":        {[]netip.AddrPort{closed, fit}, long, fit, expectation{Fit, StepGreeting, "", ""}},
		"not after ERR":     {[]netip.AddrPort{full, fit}, long, full, expectation{Unfit, StepGreeting, failGreetingError, "1040"}},
		"after silence":     {[]netip.AddrPort{silent, fit}, 2 * time.Second, fit, expectation{Fit, StepGreeting, "", ""}},
		"none, first speak": {[]netip.AddrPort{closed, silent}, 300 * time.Millisecond, closed, expectation{Unfit, StepConnect, failConnectRefused, "nor do others answer: " + silent.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Once(t.Context(), Config{Timeout: test.timeout}, at(test.addresses...))
			test.want.step = r.Step // that of the address tried last
			if r.Address != test.decides || r.Verdict != test.want.verdict || r.Failure != test.want.failure ||
				!strings.Contains(r.Reason, test.want.reason) {
				t.Errorf("%s decides: %v %s", r.Address, r.Verdict, r.Reason)
			}
		})
	}
}

func TestStepIsThatOfTheReason(t *testing.T) {
	silent := serve(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	r := Once(t.Context(), Config{Timeout: 600 * time.Millisecond}, at(silent, closedPort(t)))
	expectation{Unfit, StepGreeting, failGreetingTimeout, "nothing received"}.check(t, r)
}

func FuzzReadGreeting(f *testing.F) {
	f.Add(packet(starRocks().Append(nil), 0))
	f.Add(packet(refusal(1040, "08004", "Too many connections"), 0))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte("SSH-2.0-x"))
	f.Add([]byte("\x05\x00\x00\x00\x0b\x08\x05\x1a\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		source := bytes.NewReader(data)
		g, p, err := readGreeting(source)
		if read := len(data) - source.Len(); p.received != read {
			t.Fatalf("%d bytes read, %d told of", read, p.received)
		}
		if err == nil {
			// What was read is a whole packet, and reads the same again.
			if p.received != p.expected {
				t.Fatalf("a greeting of %s", p)
			}
			again, _, err := readGreeting(bytes.NewReader(packet(g.Append(nil), 0)))
			if err != nil || again.Version != g.Version || again.ConnectionID != g.ConnectionID {
				t.Fatalf("%+v reads again as %+v: %v", g, again, err)
			}
			return
		}
		fault := new(attempt).greetingFault(p, err)
		var refusal *mysqlwire.ServerError
		switch {
		case fault.verdict != Unfit || fault.failure == "" || fault.text == "":
			t.Fatalf("%v gives %+v", err, fault)
		case len(fault.text) > 4*maxQuote+200 || strings.ContainsAny(fault.text, "\x00\x1b\n\r"):
			t.Fatalf("not fit to be printed: %q", fault.text)
		case errors.As(err, &refusal) != (fault.failure == failGreetingError):
			t.Fatalf("%v is told as %s", err, fault.failure)
		}
	})
}
