package balancer

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
)

// serveRoutes is serve with a second pool, called etl, and routes.
func serveRoutes(t *testing.T, kind string, change func(*Config), routes []RouteConfig, fe, etl []string) *balancerRig {
	t.Helper()
	return serve(t, kind, func(c *Config, _ *Options) {
		second := c.Pools[0]
		second.Name, second.Backends = "etl", nil
		for _, b := range etl {
			second.Backends = append(second.Backends, BackendConfig{Address: b, Weight: 1})
		}
		c.Pools = append(c.Pools, second)
		c.Listeners[0].Routes = routes
		if change != nil {
			change(c)
		}
	}, fe...)
}

// annToETL leads the user of richLogin to the pool etl.
var annToETL = []RouteConfig{{User: []string{"ann"}, Pool: "etl"}}

// secondGreeting is of the server that a login is moved to.
func secondGreeting(caps mysqlwire.Capability) string {
	g := mysqlwire.Greeting{Version: "8.0.34", ConnectionID: 77, Scramble: []byte("abcdefghijklmnopqrst"), Capabilities: caps,
		Charset: 33, AuthPlugin: mysqlwire.NativePassword}
	return packetOf(0, string(g.Append(nil)))
}

// wantReplay reads a replayed login and checks it field by field against the one that the client sent.
func wantReplay(t *testing.T, c io.Reader, sent string, change func(*mysqlwire.Login)) {
	t.Helper()
	h, payload, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload)
	if err != nil {
		t.Errorf("the replayed login: %v", err)
		return
	}
	got, err := mysqlwire.ParseLogin(payload)
	if err != nil || h.Sequence != 1 {
		t.Errorf("the replayed login has number %d: %v", h.Sequence, err)
	}
	want, err := mysqlwire.ParseLogin([]byte(sent)[mysqlwire.HeaderLen:])
	if err != nil {
		t.Error(err)
	}
	want.AuthPlugin = nobodysPlugin
	if change != nil {
		change(&want)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the replayed login is\n%+v, want\n%+v", got, want)
	}
	if again := string(got.Append(nil)); again != string(payload) {
		t.Errorf("the replayed login is not all that was sent: %q, want %q", payload, again)
	}
}

// greeter greets, and wants the connection to be closed in an orderly way with nothing said.
func greeter(t *testing.T) string {
	return backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, plainGreeting)
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("the server that greeted was told %q, %v", b, err)
		}
	})
}

const secondScramble = "ABCDEFGHIJKLMNOPQRST"

var switchRequest = string(mysqlwire.AuthSwitch{Plugin: mysqlwire.NativePassword, Data: []byte(secondScramble)}.Append(nil))

// TestALoginIsMoved: every packet on both sides, in one piece and byte by byte.
func TestALoginIsMoved(t *testing.T) {
	for _, size := range []int{1, 3, 1 << 20} {
		t.Run(fmt.Sprintf("pieces of %d", size), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				r := serveRoutes(t, kind, nil, annToETL, []string{greeter(t)}, []string{backendOf(t, func(c *net.TCPConn) {
					chunks(t, c, secondGreeting(mysqlwire.StarRocksCapabilities), size)
					wantReplay(t, c, richLogin(), nil)
					chunks(t, c, packetOf(2, switchRequest), size)
					expect(t, c, packetOf(3, "mixed with the second scramble"))
					chunks(t, c, packetOf(4, "\x01more of it"), size)
					expect(t, c, packetOf(5, ""))
					chunks(t, c, packetOf(6, ok), size)
					expect(t, c, packetOf(0, "\x03select 1"))
					io.WriteString(c, packetOf(1, "an answer"))
				})})
				c := r.dial()
				expect(t, c, plainGreeting)
				chunks(t, c, richLogin(), size)
				expect(t, c, packetOf(2, switchRequest))
				chunks(t, c, packetOf(3, "mixed with the second scramble"), size)
				expect(t, c, packetOf(4, "\x01more of it"))
				chunks(t, c, packetOf(5, ""), size)
				expect(t, c, packetOf(6, ok))
				c.send(packetOf(0, "\x03select 1"))
				expect(t, c, packetOf(1, "an answer"))
				if rest, err := c.rest(); rest != "" || err != nil {
					t.Errorf("at the end %q, %v", rest, err)
				}
				c.Close()
				s := r.wantEnd("server_closed")
				if s.Pool != "etl" || s.ConnectionID != 77 || s.User != "ann" || s.Database != "sales" || s.Program != "report" || s.Connect <= 0 || s.Greeting <= 0 {
					t.Errorf("the record is %+v", s)
				}
				if begun := <-r.begun; begun.Pool != "etl" || begun.Backend != s.Backend || begun.ConnectionID != 77 {
					t.Errorf("the record of its beginning is %+v", begun)
				}
				if r.gauge("logins_moved_total", "mysql") != 1 {
					t.Error("it is not counted")
				}
			})
		})
	}
}

// TestALoginIsMovedPastAStranger to the one of the other pool's backends that speaks what the client has begun.
func TestALoginIsMovedPastAStranger(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		known := survivor(t)
		r := serveRoutes(t, kind, func(c *Config) { c.Pools[1].Policy = RoundRobin }, annToETL, []string{greeter(t)}, []string{stranger(t), known})
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		wantSurvivor(t, c)
		if s := r.wantEnd("client_closed"); s.Pool != "etl" || s.Backend != known || s.NotMoved != "" {
			t.Errorf("the record is %+v", s)
		}
	})
}

// TestLongLoginsAreMoved whole.
func TestLongLoginsAreMoved(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		l := mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities, User: "ann", Database: "sales", AuthPlugin: mysqlwire.NativePassword}
		for i := range 300 {
			l.Attributes = append(l.Attributes, mysqlwire.Attribute{Name: fmt.Sprint("name", i), Value: strings.Repeat("v", 200)})
		}
		sent := packetOf(1, string(l.Append(nil)))
		r := serveRoutes(t, kind, nil, annToETL, []string{greeter(t)}, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, c, sent, nil)
			long := "\x01" + strings.Repeat("x", 3*packetBuffer)
			io.WriteString(c, packetOf(2, long))
			expect(t, c, packetOf(3, long))
			io.WriteString(c, packetOf(4, ok))
			io.Copy(io.Discard, c)
		})})
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(sent)
		long := "\x01" + strings.Repeat("x", 3*packetBuffer)
		expect(t, c, packetOf(2, long))
		c.send(packetOf(3, long))
		expect(t, c, packetOf(4, ok))
		c.Close()
		r.wantEnd("client_closed")
	})
}

// TestLoginsBetweenLongGreetingsAreMoved: the second one is read while the first one and the login are kept.
func TestLoginsBetweenLongGreetingsAreMoved(t *testing.T) {
	for _, length := range []int{1500, 2800, packetBuffer - mysqlwire.HeaderLen - 80} {
		eachEngine(t, func(t *testing.T, kind string) {
			g := mysqlwire.Greeting{Version: strings.Repeat("8", length), ConnectionID: 77, Scramble: []byte("abcdefghijklmnopqrst"),
				Capabilities: mysqlwire.StarRocksCapabilities, Charset: 33, AuthPlugin: mysqlwire.NativePassword}
			greeting := packetOf(0, string(g.Append(nil)))
			r := serveRoutes(t, kind, nil, annToETL, []string{backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, greeting)
				io.Copy(io.Discard, c)
			})}, []string{backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, greeting)
				wantReplay(t, c, richLogin(), nil)
				io.WriteString(c, packetOf(2, ok))
				io.Copy(io.Discard, c)
			})})
			c := r.dial()
			expect(t, c, greeting)
			c.send(richLogin())
			expect(t, c, packetOf(2, ok))
			c.Close()
			if s := r.wantEnd("client_closed"); s.Pool != "etl" {
				t.Errorf("the record is %+v", s)
			}
		})
	}
}

// TestMovedPacketsAreRenumbered: each side counts as it likes.
func TestMovedPacketsAreRenumbered(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serveRoutes(t, kind, nil, annToETL, []string{greeter(t)}, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, c, richLogin(), nil)
			io.WriteString(c, packetOf(254, switchRequest))
			expect(t, c, packetOf(255, "answer"))
			io.WriteString(c, packetOf(0, "\x01a")+packetOf(1, "\x01b")+packetOf(2, ok)+packetOf(9, "not a part of the login"))
		})})
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		expect(t, c, packetOf(2, switchRequest))
		c.send(packetOf(3, "answer"))
		expect(t, c, packetOf(4, "\x01a")+packetOf(5, "\x01b")+packetOf(6, ok)+packetOf(9, "not a part of the login"))
		if rest, err := c.rest(); rest != "" || err != nil {
			t.Errorf("at the end %q, %v", rest, err)
		}
		c.Close()
		r.wantEnd("server_closed")
	})
}

// TestVerdictWithoutAQuestion: a server that says yes or no at once has the word.
func TestVerdictWithoutAQuestion(t *testing.T) {
	denied := string((&mysqlwire.ServerError{Code: 1045, State: "28000", Message: "Access denied for user 'ann'"}).Append(nil, mysqlwire.ClientProtocol41))
	for name, verdict := range map[string]string{"yes": ok, "no": denied} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				r := serveRoutes(t, kind, nil, annToETL, []string{greeter(t)}, []string{backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
					wantReplay(t, c, richLogin(), nil)
					io.WriteString(c, packetOf(2, verdict))
					io.Copy(io.Discard, c)
				})})
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(richLogin())
				expect(t, c, packetOf(2, verdict))
				c.Close()
				r.wantEnd("client_closed")
				if begun := len(r.begun) > 0; begun != (name == "yes") {
					t.Errorf("begun: %v", begun)
				}
			})
		})
	}
}

// TestLoginsThatStay pass unchanged to the server that greeted, and are counted.
func TestLoginsThatStay(t *testing.T) {
	caps := mysqlwire.StarRocksCapabilities
	login := func(l mysqlwire.Login) string { return packetOf(1, string(l.Append(nil))) }
	with := func(c mysqlwire.Capability) string {
		return login(mysqlwire.Login{Capabilities: c, User: "ann", AuthPlugin: mysqlwire.NativePassword})
	}
	for name, c := range map[string]struct {
		first, second mysqlwire.Capability
		sent          string
		reason        string
		pools         string // who was asked
	}{
		"another user":      {caps, caps, loginPacket("bob"), "", ""},
		"no plugins":        {caps, caps, with(caps &^ mysqlwire.ClientPluginAuth), "no_plugin_auth", ""},
		"no plugins there":  {caps &^ mysqlwire.ClientPluginAuth, caps, with(caps), "no_plugin_auth", ""},
		"an old client":     {caps, caps, login(mysqlwire.Login{Capabilities: mysqlwire.ClientLongPassword, User: "ann"}), "no_plugin_auth", ""},
		"TLS":               {caps | mysqlwire.ClientSSL, caps, login(mysqlwire.Login{Capabilities: caps | mysqlwire.ClientSSL, SSLRequest: true}), "tls", ""},
		"in a hurry":        {caps, caps, with(caps) + packetOf(3, "x"), "early", ""},
		"compressed":        {caps | mysqlwire.ClientCompress, caps, with(caps | mysqlwire.ClientCompress), "capabilities", "etl"},
		"no EOF":            {caps | mysqlwire.ClientDeprecateEOF, caps, with(caps | mysqlwire.ClientDeprecateEOF), "capabilities", "etl"},
		"not known here":    {caps | 1<<28, caps, with(caps | 1<<28), "capabilities", "etl"},
		"no plugins beyond": {caps, caps &^ mysqlwire.ClientPluginAuth, with(caps), "capabilities", "etl"},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				first := backendOf(t, func(s *net.TCPConn) {
					io.WriteString(s, greetingPacket(c.first, mysqlwire.NativePassword))
					expect(t, s, c.sent)
					io.WriteString(s, packetOf(2, ok))
					io.Copy(io.Discard, s)
				})
				second := backendOf(t, func(s *net.TCPConn) {
					if c.pools == "" {
						t.Error("the other pool was asked")
					}
					io.WriteString(s, secondGreeting(c.second))
					if b, err := io.ReadAll(s); len(b) > 0 || err != nil {
						t.Errorf("the other server was told %q, %v", b, err)
					}
				})
				r := serveRoutes(t, kind, nil, annToETL, []string{first}, []string{second})
				client := r.dial()
				expect(t, client, greetingPacket(c.first, mysqlwire.NativePassword))
				client.send(c.sent)
				expect(t, client, packetOf(2, ok))
				client.Close()
				s := r.record()
				if s.Pool != "fe" || s.Backend != first || s.ConnectionID != 42 || s.NotMoved != c.reason {
					t.Errorf("the record is %+v", s)
				}
				if c.reason != "" && (r.gauge("logins_not_moved_total", "mysql", c.reason) != 1 || r.sum("logins_not_moved_total") != 1) {
					t.Errorf("it is not counted as %s", c.reason)
				}
				if r.sum("logins_moved_total") != 0 {
					t.Error("it is counted as moved")
				}
			})
		})
	}
}

// TestLoginsThatStayAlthoughOthersFailed: what else is wrong with the pool that a route names costs no session, once a server of it
// has turned out to lack what the client relies on.
func TestLoginsThatStayAlthoughOthersFailed(t *testing.T) {
	closed := func(t *testing.T) string { return backendOf(t, func(*net.TCPConn) {}) }
	for name, servers := range map[string][]func(*testing.T) string{
		"before": {closed, stranger}, "after": {stranger, closed},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				first := backendOf(t, func(s *net.TCPConn) {
					io.WriteString(s, plainGreeting)
					expect(t, s, richLogin())
					io.WriteString(s, packetOf(2, ok))
					io.Copy(io.Discard, s)
				})
				r := serveRoutes(t, kind, func(c *Config) { c.Pools[1].Policy = RoundRobin }, annToETL, []string{first}, []string{servers[0](t), servers[1](t)})
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(richLogin())
				expect(t, c, packetOf(2, ok))
				c.Close()
				if s := r.wantEnd("client_closed"); s.Backend != first || s.NotMoved != "capabilities" {
					t.Errorf("the record is %+v", s)
				}
			})
		})
	}
}

// TestFlagsThatTheServersDoNotShare stay behind.
func TestFlagsThatTheServersDoNotShare(t *testing.T) {
	caps := mysqlwire.StarRocksCapabilities
	eachEngine(t, func(t *testing.T, kind string) {
		sent := mysqlwire.Login{Capabilities: caps | mysqlwire.ClientMultiStatements | mysqlwire.ClientFoundRows | mysqlwire.ClientDeprecateEOF |
			mysqlwire.ClientPluginAuthLenenc, User: "ann", Database: "sales", AuthPlugin: mysqlwire.ClearPassword, AuthResponse: []byte("secret\x00"),
			Attributes: []mysqlwire.Attribute{{Name: "program_name", Value: "report"}}}
		packet := packetOf(1, string(sent.Append(nil)))
		r := serveRoutes(t, kind, nil, annToETL, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, greetingPacket(caps|mysqlwire.ClientMultiStatements|mysqlwire.ClientFoundRows|mysqlwire.ClientPluginAuthLenenc, ""))
			io.Copy(io.Discard, c)
		})}, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, secondGreeting((caps|mysqlwire.ClientFoundRows|mysqlwire.ClientDeprecateEOF)&^mysqlwire.ClientConnectAttrs))
			wantReplay(t, c, packet, func(want *mysqlwire.Login) {
				want.Capabilities = caps&^mysqlwire.ClientConnectAttrs | mysqlwire.ClientFoundRows
				want.AuthResponse = nil // a password in clear is not for a server that has not asked for it
				want.Attributes = nil
			})
			io.WriteString(c, packetOf(2, ok))
			io.Copy(io.Discard, c)
		})})
		c := r.dial()
		c.greet()
		c.send(packet)
		expect(t, c, packetOf(2, ok))
		c.Close()
		r.wantEnd("client_closed")
	})
}

// TestRoutesBySource are decided before anybody greets.
func TestRoutesBySource(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 2, nil)
		r := serveRoutes(t, kind, nil, []RouteConfig{{Source: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Pool: "fe"},
			{Source: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Pool: "etl"}, {User: []string{"root"}, Pool: "fe"}}, addresses[:1], addresses[1:])
		r.enter().Close()
		if s := r.record(); s.Pool != "etl" || fes[0].Counts().Accepted != 0 {
			t.Errorf("the record is %+v", s)
		}
		if r.sum("logins_moved_total")+r.sum("logins_not_moved_total") != 0 {
			t.Error("nothing had to be moved")
		}
	})
}

// TestRealDriversAreMoved to front ends that check passwords, by either plugin, and hear what those say.
func TestRealDriversAreMoved(t *testing.T) {
	for name, change := range map[string]func(*fakefe.Config){
		"native": func(*fakefe.Config) {},
		"clear":  func(c *fakefe.Config) { c.AuthPlugin = mysqlwire.ClearPassword },
		"doris":  func(c *fakefe.Config) { c.Flavour = fakefe.Doris },
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				n := 0
				_, addresses := startFEs(t, 2, func(c *fakefe.Config) {
					c.Users = []map[string]string{{"root": ""}, {"ann": "secret", "empty": ""}}[n]
					if n++; n == 2 {
						change(c)
					}
				})
				r := serveRoutes(t, kind, nil, []RouteConfig{{User: []string{"ann", "empty", "nobody"}, Pool: "etl"}}, addresses[:1], addresses[1:])
				enter := func(user, password string) (string, error) {
					connector, err := mysql.NewConnector(&mysql.Config{User: user, Passwd: password, Net: "tcp", Addr: r.address(), DBName: "sales",
						AllowNativePasswords: true, AllowCleartextPasswords: true, Logger: &mysql.NopLogger{}, Timeout: hang})
					if err != nil {
						t.Fatal(err)
					}
					c, err := connector.Connect(t.Context())
					if err != nil {
						return "", err
					}
					defer c.Close()
					return ask(t, c, "select @@hostname") + " " + ask(t, c, "select database()"), nil
				}
				for user, want := range map[string]string{"root": "fe1 sales", "ann": "fe2 sales", "empty": "fe2 sales"} {
					password := ""
					if user == "ann" {
						password = "secret"
					}
					if got, err := enter(user, password); got != want || err != nil {
						t.Errorf("%s got to %q, %v, want %q", user, got, err, want)
					}
					r.record()
				}
				for _, user := range []string{"ann", "nobody", "empty"} {
					_, err := enter(user, "wrong")
					wantRefusal(t, err, 1045, "Access denied for user '"+user+"'@'", "(using password: YES)")
					r.record()
				}
				if r.gauge("logins_moved_total", "mysql") != 5 || r.sum("logins_not_moved_total") != 0 {
					t.Error("moved logins are counted wrongly")
				}
			})
		})
	}
}
