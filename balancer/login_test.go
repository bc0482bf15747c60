package balancer

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
)

// greetingPacket is a server's first packet, header included.
func greetingPacket(caps mysqlwire.Capability, plugin string) string {
	g := mysqlwire.Greeting{Version: "8.0.33", ConnectionID: 42, Scramble: []byte("12345678901234567890"), Capabilities: caps,
		Charset: 33, AuthPlugin: plugin}
	b, _ := mysqlwire.AppendPacket(nil, g.Append(nil), 0)
	return string(b)
}

var plainGreeting = greetingPacket(mysqlwire.StarRocksCapabilities, mysqlwire.NativePassword)

// packetOf frames a payload.
func packetOf(sequence byte, payload string) string {
	b, _ := mysqlwire.AppendPacket(nil, []byte(payload), sequence)
	return string(b)
}

const ok = "\x00\x00\x00\x02\x00\x00\x00"

// expect reads exactly want.
func expect(t *testing.T, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("read %q, %v, want %q", got[:n], err, want)
	}
}

// richLogin is a login that tells all it can.
func richLogin() string {
	l := mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities | mysqlwire.ClientConnectWithDB | mysqlwire.ClientConnectAttrs,
		User: "ann", Database: "sales", AuthPlugin: mysqlwire.NativePassword, AuthResponse: []byte("12345678901234567890"),
		Attributes: []mysqlwire.Attribute{{Name: "_os", Value: "linux"}, {Name: "program_name", Value: "report"}}}
	b, _ := mysqlwire.AppendPacket(nil, l.Append(nil), 1)
	return string(b)
}

// chunks writes s in pieces of so many bytes, each on its own way (the sockets have no delay).
func chunks(t *testing.T, c io.Writer, s string, size int) {
	for piece := range slices.Chunk([]byte(s), size) {
		if _, err := c.Write(piece); err != nil {
			t.Error(err)
			return
		}
	}
}

// TestALoginPassesUnchanged in one piece and byte by byte, and what it tells is noted.
func TestALoginPassesUnchanged(t *testing.T) {
	for _, size := range []int{1, 3, 1 << 20} {
		t.Run(fmt.Sprintf("pieces of %d", size), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				greeting := greetingPacket(mysqlwire.StarRocksCapabilities, "some_plugin") + "and a word more"
				answer := packetOf(2, ok) + packetOf(0, "unasked")
				r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
					chunks(t, c, greeting, size)
					expect(t, c, richLogin())
					chunks(t, c, answer, size)
					expect(t, c, "question")
					io.WriteString(c, "reply")
				}))
				c := r.dial()
				expect(t, c, greeting)
				chunks(t, c, richLogin(), size)
				expect(t, c, answer)
				c.send("question")
				expect(t, c, "reply")
				if rest, err := c.rest(); rest != "" || err != nil {
					t.Errorf("at the end %q, %v", rest, err)
				}
				c.Close()
				s := r.wantEnd("server_closed")
				up, down := len(richLogin()+"question"), len(greeting+answer+"reply")
				if s.User != "ann" || s.Database != "sales" || s.Program != "report" || s.ConnectionID != 42 ||
					s.Client.String() != c.LocalAddr().String() || s.Backend == "" || s.Connect <= 0 || s.Greeting <= 0 {
					t.Errorf("the record is %+v", s)
				}
				if s.ToServer != uint64(up) || s.ToClient != uint64(down) {
					t.Errorf("%d and %d bytes are on record, want %d and %d", s.ToServer, s.ToClient, up, down)
				}
				if got := r.gauge("bytes_total", "to_server"); got != float64(up) {
					t.Errorf("%v bytes to the server are counted, want %d", got, up)
				}
				if got := r.gauge("bytes_total", "to_client"); got != float64(down) {
					t.Errorf("%v bytes to the client are counted, want %d", got, down)
				}
				if begun := <-r.begun; begun.ID != s.ID || begun.User != "ann" || begun.End != "" {
					t.Errorf("the record of its beginning is %+v", begun)
				}
			})
		})
	}
}

func TestLoginsOfARealDriver(t *testing.T) {
	for name, test := range map[string]struct {
		fe         fakefe.Config
		parameters string
	}{
		"plain":                   {},
		"switched":                {fe: fakefe.Config{ForceSwitch: true}},
		"switched to clear text":  {fe: fakefe.Config{AuthPlugin: mysqlwire.ClearPassword}, parameters: "?allowCleartextPasswords=true"},
		"Doris":                   {fe: fakefe.Config{Flavour: fakefe.Doris}},
		"with attributes":         {parameters: "?connectionAttributes=program_name:x"},
		"with a database, a plug": {parameters: "sales?maxAllowedPacket=0"},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				_, addresses := startFEs(t, 1, func(c *fakefe.Config) { *c = test.fe })
				r := serve(t, kind, nil, addresses...)
				c, err := login(r.address(), test.parameters)
				if err != nil {
					t.Fatal(err)
				}
				if got := ask(t, c, "select 1"); got != "1" {
					t.Errorf("select 1 is %q", got)
				}
				c.Close()
				// The driver says COM_QUIT, to which the server closes as well.
				if s := r.record(); s.User != "root" || !strings.HasSuffix(s.End, "_closed") {
					t.Errorf("the record is %+v", s)
				}
			})
		})
	}
}

func TestAWrongPasswordIsTheServersToRefuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, func(c *fakefe.Config) { c.Users = map[string]string{"root": "secret"} })
		r := serve(t, kind, nil, addresses...)
		_, err := login(r.address(), "")
		wantRefusal(t, err, 1045, "Access denied for user 'root'")
		if s := r.record(); s.User != "root" || !strings.HasSuffix(s.End, "_closed") {
			t.Errorf("the record is %+v", s)
		}
		if len(r.begun) != 0 {
			t.Errorf("%+v is told as one that has logged in", <-r.begun)
		}
		if r.Pool("fe").Backends()[0].State() != Unknown {
			t.Error("the backend is blamed")
		}
	})
}

// TestServersThatSpeakTwice: caching_sha2_password's fast path is an AuthMoreData and an OK in a row.
func TestServersThatSpeakTwice(t *testing.T) {
	fast, full := packetOf(2, "\x01\x03"), packetOf(2, "\x01\x04")
	for name, test := range map[string]struct {
		say  []string // "<" before what the server waits for
		last string
	}{
		"at once":              {say: []string{fast + packetOf(3, ok)}},
		"one after the other":  {say: []string{fast, packetOf(3, ok)}},
		"cut across":           {say: []string{fast[:5], fast[5:] + packetOf(3, ok)[:4], packetOf(3, ok)[4:]}},
		"with a question":      {say: []string{full, "<" + packetOf(3, "password\x00"), packetOf(4, ok)}},
		"an empty packet, too": {say: []string{packetOf(2, ""), packetOf(3, ok)}},
		"a long one":           {say: []string{packetOf(2, "\x01"+strings.Repeat("\x00\xff", 9000)), packetOf(3, ok)}},
		"a refusal":            {say: []string{fast, packetOf(3, "\xff\x15\x04#28000Access denied")}},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					expect(t, c, richLogin())
					for _, s := range test.say {
						if s[0] == '<' {
							expect(t, c, s[1:])
						} else {
							io.WriteString(c, s)
						}
					}
					expect(t, c, "question")
					io.WriteString(c, "reply")
				}))
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(richLogin())
				for _, s := range test.say {
					if s[0] == '<' {
						c.send(s[1:])
					} else {
						expect(t, c, s)
					}
				}
				c.send("question")
				expect(t, c, "reply")
				c.Close()
				r.record()
				if told := len(r.begun) == 1; told != (name != "a refusal") {
					t.Errorf("told as logged in: %v", told)
				}
			})
		})
	}
}

// TestAskedBeforeTheVerdict: who sends a statement along with the login, and finishes, still gets the answer.
func TestAskedBeforeTheVerdict(t *testing.T) {
	for name, apart := range map[string]bool{"in one piece": false, "after the login": true} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				finished := make(chan struct{})
				r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					expect(t, c, richLogin()+"question")
					<-finished
					io.WriteString(c, packetOf(2, ok))
					if _, err := io.ReadAll(c); err != nil { // until the client's end has come through
						t.Error(err)
					}
					io.WriteString(c, "reply")
				}))
				c := r.dial()
				expect(t, c, plainGreeting)
				if apart {
					c.send(richLogin())
					c.send("question")
				} else {
					c.send(richLogin() + "question")
				}
				close(finished)
				expect(t, c, packetOf(2, ok))
				c.CloseWrite()
				expect(t, c, "reply")
				if rest, err := c.rest(); rest != "" || err != nil {
					t.Errorf("at the end %q, %v", rest, err)
				}
				r.wantEnd("client_closed")
			})
		})
	}
}

// TestServersThatFailALogin after their greeting: what they have said reaches the client, and then how they ended.
func TestServersThatFailALogin(t *testing.T) {
	shutdown := packetOf(1, "\xff\x1d\x04#08S01Server shutdown in progress")
	for name, test := range map[string]struct {
		server func(t *testing.T, c *net.TCPConn)
		hears  string
		reset  bool
		end    string
	}{
		"speaks before the login": {hears: shutdown, end: "server_closed", server: func(_ *testing.T, c *net.TCPConn) {
			io.WriteString(c, shutdown)
		}},
		"closes before the login": {end: "server_closed", server: func(_ *testing.T, c *net.TCPConn) {}},
		"closes after the login": {end: "server_closed", server: func(t *testing.T, c *net.TCPConn) {
			expect(t, c, richLogin())
		}},
		"closes in mid-verdict": {hears: packetOf(2, ok)[:4], end: "server_closed", server: func(t *testing.T, c *net.TCPConn) {
			expect(t, c, richLogin())
			io.WriteString(c, packetOf(2, ok)[:4])
		}},
		"resets before the login": {reset: true, end: "server_reset", server: func(t *testing.T, c *net.TCPConn) {
			c.SetLinger(0)
		}},
		"resets after the login": {reset: true, end: "server_reset", server: func(t *testing.T, c *net.TCPConn) {
			expect(t, c, richLogin())
			c.SetLinger(0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				greeted := make(chan struct{})
				r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					<-greeted
					test.server(t, c)
				}))
				c := r.dial()
				expect(t, c, plainGreeting)
				if !strings.Contains(name, "before") {
					c.send(richLogin())
				}
				close(greeted)
				heard, err := c.rest()
				if heard != test.hears || (err != nil) != test.reset {
					t.Errorf("the client hears %q, %v, want %q, reset: %v", heard, err, test.hears, test.reset)
				}
				s := r.wantEnd(test.end)
				if s.Backend == "" || s.ToClient != uint64(len(plainGreeting+test.hears)) {
					t.Errorf("the record is %+v", s)
				}
			})
		})
	}
}

func TestLongLogins(t *testing.T) {
	sized := func(n int) string { // a login of exactly that size
		l := mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities | mysqlwire.ClientPluginAuthLenenc, User: strings.Repeat("u", 300),
			AuthPlugin: mysqlwire.NativePassword}
		for len(l.Append(nil)) < n {
			l.AuthResponse = append(l.AuthResponse, make([]byte, n-len(l.Append(nil)))...)
			for len(l.Append(nil)) > n {
				l.AuthResponse = l.AuthResponse[1:]
			}
		}
		return packetOf(1, string(l.Append(nil)))
	}
	eachEngine(t, func(t *testing.T, kind string) {
		logins := make(chan string, 1)
		r := serve(t, kind, nil, backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, plainGreeting)
			text := <-logins
			got := make([]byte, len(text))
			if _, err := io.ReadFull(c, got); err != nil {
				return
			}
			if string(got) != text {
				t.Errorf("a login of %d bytes has changed", len(text))
			}
			io.WriteString(c, packetOf(2, ok))
			io.Copy(io.Discard, c)
		}))
		for _, n := range []int{packetBuffer - 5, packetBuffer - 4, packetBuffer - 3, packetBuffer, 2 * packetBuffer, longestLogin} {
			text := sized(n)
			if len(text) != n+mysqlwire.HeaderLen {
				t.Fatalf("made %d bytes, want %d", len(text), n)
			}
			logins <- text
			c := r.dial()
			c.greet()
			c.send(text)
			expect(t, c, packetOf(2, ok))
			c.Close()
			if s := r.record(); s.User != strings.Repeat("u", longestWord) {
				t.Errorf("%d bytes of a user are kept", len(s.User))
			}
		}
		logins <- "\x01" // nothing of it comes through
		c := r.dial()
		c.greet()
		c.send("\x01\x00\x01\x01") // one byte too long, it says
		if said := c.wantGone(); !strings.Contains(said, "bad handshake") {
			t.Errorf("the client hears %q", said)
		}
		r.wantReject("login_too_long")
	})
}

// TestUncommonLoginsLeaveNothing: a small packet can have thousands of attributes.
func TestUncommonLoginsLeaveNothing(t *testing.T) {
	login := func(attributes int, user string) []byte {
		l := mysqlwire.Login{Capabilities: mysqlwire.ClientProtocol41 | mysqlwire.ClientSecureConnection | mysqlwire.ClientConnectAttrs, User: user,
			Attributes: make([]mysqlwire.Attribute, attributes)}
		return l.Append(nil)
	}
	for name, uncommon := range map[string][]byte{"many attributes": login(1900, "ann"), "long": login(1, strings.Repeat("u", packetBuffer))} {
		s := &session{room: new(room)}
		got, err := s.parseLogin(uncommon)
		if err != nil || len(got.Attributes) == 0 || got.User == "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if left := s.room.login; left.User != "" || cap(left.Attributes) > mostAttributes {
			t.Errorf("%s: the room keeps place for %d attributes, and %d bytes of a user", name, cap(left.Attributes), len(left.User))
		}
		if got, err = s.parseLogin(login(2, "bob")); err != nil || got != &s.room.login || got.User != "bob" || len(got.Attributes) != 2 {
			t.Errorf("after it: %+v, %v", got, err)
		}
	}
}

func TestNoLoginTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Listeners[0].LoginTimeout = 0 }, addresses...)
		silent, late := r.dial(), r.dial()
		silent.greet()
		late.greet()
		late.send(loginPacket("root"))
		if p := late.packet(); p[0] != okPacket {
			t.Errorf("%q is no OK", p)
		}
		late.Close()
		r.wantEnd("client_closed")
		r.Close()
		r.wantEnd("drained")
		silent.wantGone()
	})
}

// TestMySQLErrorsOfTheDriver makes sure that wantRefusal can fail: it must not take any error for an ERR packet.
func TestMySQLErrorsOfTheDriver(t *testing.T) {
	_, err := login(backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, packetOf(0, "\xff\x10\x04#08004fairlead: full"))
	}), "")
	if refused, is := err.(*mysql.MySQLError); !is || refused.Number != 1040 || string(refused.SQLState[:]) != "08004" {
		t.Errorf("%v", err)
	}
}
