package balancer

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

const request = "GET /api/health HTTP/1.1\r\nHost: fe\r\n\r\n"

// clientHello begins a TLS session (RFC 8446, 4.1.2), cut short.
const clientHello = "\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03 and so on"

func rubbish(n int) string {
	seeded := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(seeded.Uint32())
	}
	b[3] = 7 // not a login's number
	return string(b)
}

// TestForeignClients: whoever speaks something else, or not at all, is turned away with a reason, and in time.
func TestForeignClients(t *testing.T) {
	badHandshake := "fairlead: bad handshake"
	for name, test := range map[string]struct {
		first   string // said before anything is read
		greeted string // said after the greeting
		answer  string // what is in the answer
		reason  string
	}{
		"HTTP at once":           {first: request, answer: "HTTP/1.1 400 Bad Request\r\n", reason: "http"},
		"HTTP after a greeting":  {greeted: request, answer: badHandshake, reason: "http"},
		"TLS at once":            {first: clientHello, reason: "tls"},
		"TLS after a greeting":   {greeted: clientHello, answer: badHandshake, reason: "tls"},
		"rubbish at once":        {first: rubbish(3000), answer: badHandshake, reason: "not_mysql"},
		"rubbish after it":       {greeted: rubbish(3000), answer: badHandshake, reason: "not_mysql"},
		"much rubbish":           {greeted: rubbish(1 << 20), reason: "not_mysql"},
		"one byte at once":       {first: "x", answer: badHandshake, reason: "not_mysql"},
		"a claim of 16 MB":       {greeted: "\xff\xff\xff\x01", answer: badHandshake, reason: "login_too_long"},
		"16 MB out of order":     {greeted: "\xff\xff\xff\x00", answer: badHandshake, reason: "not_mysql"},
		"an empty packet":        {greeted: "\x00\x00\x00\x01", answer: badHandshake, reason: "not_mysql"},
		"a login that is none":   {greeted: packetOf(1, strings.Repeat("\xff", 60)), answer: badHandshake, reason: "not_mysql"},
		"a PROXY header":         {first: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", answer: badHandshake, reason: "proxy"},
		"PostgreSQL":             {first: "\x00\x00\x00\x08\x04\xd2\x16\x2f", answer: badHandshake, reason: "postgres"},
		"a login before its cue": {first: loginPacket("root"), answer: badHandshake, reason: "not_mysql"},
		"silence":                {greeted: "", reason: "login_timeout"},
		"half a header":          {greeted: "\x20\x00", reason: "login_timeout"},
		"half a login":           {greeted: richLogin()[:30], reason: "login_timeout"},
		"half a long login":      {greeted: "\xff\xff\x00\x01" + rubbish(5000), reason: "login_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				hold := make(chan struct{}) // the backend greets when the client has spoken
				r := serve(t, kind, func(c *Config, _ *Options) {
					if test.reason == "login_timeout" {
						c.Listeners[0].LoginTimeout = 100 * time.Millisecond
					}
				}, backendOf(t, func(c *net.TCPConn) {
					<-hold
					io.WriteString(c, plainGreeting)
					if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
						t.Errorf("the backend hears %q, %v", b, err)
					}
				}))
				c := r.dial()
				io.WriteString(c, test.first)
				if test.first != "" {
					awaitAcknowledged(t, c)
				}
				close(hold)
				if test.first == "" {
					expect(t, c, plainGreeting)
					io.WriteString(c, test.greeted) // it may be cut in the midst of it
				}
				answer := c.wantGone()
				if !strings.Contains(answer, test.answer) || (test.answer == "") != (answer == "") && name != "much rubbish" {
					t.Errorf("the answer is %q, want one with %q", answer, test.answer)
				}
				s := r.wantReject(test.reason)
				if s.User != "" || s.Backend == "" || s.ToServer != 0 {
					t.Errorf("the record is %+v", s)
				}
				if r.Pool("fe").Backends()[0].State() != Unknown {
					t.Error("the backend is blamed")
				}
				if len(r.begun) != 0 {
					t.Error("it is told as one that has logged in")
				}
			})
		})
	}
}

// TestForeignBytesBehindAPROXYHeader are no backend's business either.
func TestForeignBytesBehindAPROXYHeader(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Listeners[0].Proxy = ProxyConfig{Accept: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: hang, FromOthers: TakePlain}
		}, backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, plainGreeting)
			if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
				t.Errorf("the backend hears %q, %v", b, err)
			}
		}))
		c := r.dial()
		c.send("PROXY TCP4 192.0.2.1 192.0.2.2 1234 9030\r\n" + request)
		if answer := c.wantGone(); !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
			t.Errorf("the answer is %q", answer)
		}
		if s := r.wantReject("http"); s.Client.String() != "192.0.2.1:1234" {
			t.Errorf("the record is %+v", s)
		}
	})
}

func TestTheAnswerToHTTPIsHTTP(t *testing.T) {
	head, body, _ := strings.Cut(wrongPort, "\r\n\r\n")
	if want := "Content-Length: 51"; !strings.Contains(head, want) || len(body) != 51 {
		t.Errorf("the head is %q, the body has %d bytes", head, len(body))
	}
}

// TestClientsThatLeave in the midst of the set-up: they cost no backend its name, and no place.
func TestClientsThatLeave(t *testing.T) {
	for name, test := range map[string]struct {
		before bool   // the greeting
		says   string // after it
		reset  bool
		ends   []string
	}{
		"closes before the greeting": {before: true, ends: []string{"client_gone", "client_closed"}},
		"resets before the greeting": {before: true, reset: true, ends: []string{"client_gone", "client_reset"}},
		"closes after the greeting":  {ends: []string{"client_closed"}},
		"resets after the greeting":  {reset: true, ends: []string{"client_reset"}},
		"closes in mid-login":        {says: richLogin()[:20], ends: []string{"client_closed"}},
		"resets in mid-login":        {says: richLogin()[:20], reset: true, ends: []string{"client_reset"}},
		"closes after the login":     {says: richLogin(), ends: []string{"client_closed"}},
		"resets after the login":     {says: richLogin(), reset: true, ends: []string{"client_reset"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				accepted, gone := make(chan struct{}), make(chan struct{})
				heard := make(chan string, 1)
				r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
					close(accepted)
					if test.before {
						<-gone
					}
					io.WriteString(c, plainGreeting)
					b, _ := io.ReadAll(c)
					heard <- string(b)
				}))
				c := r.dial()
				<-accepted
				if !test.before {
					expect(t, c, plainGreeting)
				}
				c.send(test.says)
				if test.says == richLogin() {
					eventually(t, "the login to be counted", func() bool { return r.gauge("bytes_total", "to_server") > 0 })
				}
				if test.reset {
					c.reset()
				} else {
					c.Close()
				}
				close(gone)
				s := r.record()
				if !strings.Contains(strings.Join(test.ends, " "), s.End) {
					t.Errorf("the end is %q, want one of %v", s.End, test.ends)
				}
				want := ""
				if test.says == richLogin() {
					want = test.says
				}
				if got := <-heard; got != want {
					t.Errorf("the backend hears %q, want %q", got, want)
				}
				if b := r.Pool("fe").Backends()[0]; b.State() != Unknown || r.Status().Pools[0].Backends[0].Failures != 0 {
					t.Errorf("%v, %+v: the backend is blamed", b.State(), r.Status().Pools[0].Backends[0])
				}
			})
		})
	}
}

// TestAManyForeigners come at once, and nothing of them stays.
func TestAManyForeigners(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Listeners[0].LoginTimeout = 100 * time.Millisecond }, addresses...)
		said := []string{request, clientHello, rubbish(100), "", "\x20\x00", richLogin()[:40], "\xff\xff\xff\x01"}
		const many = 140
		for i := range many {
			c := r.dial()
			io.WriteString(c, said[i%len(said)])
			if i%3 == 0 {
				c.reset()
			}
		}
		for range many {
			r.record()
		}
		if r.sum("sessions_total") != many {
			t.Errorf("%v sessions have ended, want %d", r.sum("sessions_total"), many)
		}
		r.enter().Close()
		r.wantEnd("client_closed")
	})
}

// TestARefusedLoginIsReadable: the error that a client of another kind gets is one that a MySQL client can read.
func TestARefusedLoginIsReadable(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses...)
		c := r.dial()
		c.greet()
		c.send("\xff\xff\xff\x01")
		e, err := mysqlwire.ParseError(c.packet())
		if err != nil || e.Code != 1043 || e.State != "08S01" {
			t.Errorf("%+v, %v", e, err)
		}
		r.wantReject("login_too_long")
	})
}
