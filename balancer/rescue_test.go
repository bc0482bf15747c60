package balancer

import (
	"io"
	"net"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// survivor is a server to which a login can be moved.
func survivor(t *testing.T) string {
	return backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
		wantReplay(t, c, richLogin(), nil)
		io.WriteString(c, packetOf(2, switchRequest))
		expect(t, c, packetOf(3, "mixed with the second scramble"))
		io.WriteString(c, packetOf(4, ok))
		expect(t, c, packetOf(0, "\x03select 1"))
		io.WriteString(c, packetOf(1, "an answer"))
		io.Copy(io.Discard, c)
	})
}

// wantSurvivor goes on with a login, and with what follows it, at a survivor.
func wantSurvivor(t *testing.T, c *client) {
	t.Helper()
	expect(t, c, packetOf(2, switchRequest))
	c.send(packetOf(3, "mixed with the second scramble"))
	expect(t, c, packetOf(4, ok))
	c.send(packetOf(0, "\x03select 1"))
	expect(t, c, packetOf(1, "an answer"))
	c.Close()
}

// loser is a server that greets and ends with the login.
func loser(t *testing.T, greeting string) string {
	return backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, greeting)
		if _, _, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload); err != nil {
			t.Errorf("the login: %v", err)
		}
	})
}

// beginWith has a pool choose its first backend first.
func beginWith(c *Config, _ *Options) { c.Pools[0].Policy = RoundRobin }

// wantRescue logs in as if nothing was amiss, and wants the session to be the second backend's.
func wantRescue(t *testing.T, r *balancerRig, c *client, lost, second string) {
	t.Helper()
	wantSurvivor(t, c)
	if s := r.wantEnd("client_closed"); s.Backend != second || s.ConnectionID != 77 || s.User != "ann" {
		t.Errorf("the record is %+v", s)
	}
	if r.gauge("redispatches_total", "fe", lost, "login_lost") != 1 || r.gauge("logins_moved_total", "mysql") != 0 {
		t.Error("it is counted as something else")
	}
}

// TestServerLostInALogin: a server that has greeted and then ends costs nothing, as long as another one is there.
func TestServerLostInALogin(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *net.TCPConn){
		"before the login": func(*testing.T, *net.TCPConn) {},
		"reset before it":  func(_ *testing.T, c *net.TCPConn) { c.SetLinger(0) },
		"after the login":  func(t *testing.T, c *net.TCPConn) { expect(t, c, richLogin()) },
		"reset after it":   func(t *testing.T, c *net.TCPConn) { expect(t, c, richLogin()); c.SetLinger(0) },
		"with the login unread": func(_ *testing.T, c *net.TCPConn) {
			c.Read(make([]byte, 1)) // what is left unread makes the close a reset
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				greeted, gone := make(chan struct{}), make(chan struct{})
				first := backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					<-greeted // a reset could overtake the greeting
					end(t, c)
					c.Close()
					close(gone)
				})
				second := survivor(t)
				r := serve(t, kind, beginWith, first, second)
				c := r.dial()
				expect(t, c, plainGreeting)
				close(greeted)
				if name == "before the login" || name == "reset before it" {
					<-gone
				}
				c.send(richLogin())
				wantRescue(t, r, c, first, second)
				if state := r.Pools()[0].Backend(first).State(); state != Unknown {
					t.Errorf("the first server is %v now", state)
				}
			})
		})
	}
}

// TestServerDownInALogin: one that is silent is waited for, unless it has gone down.
func TestServerDownInALogin(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		waiting := make(chan struct{})
		first := backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, plainGreeting)
			expect(t, c, richLogin())
			close(waiting)
			io.Copy(io.Discard, c)
		})
		second := survivor(t)
		r := serve(t, kind, beginWith, first, second)
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		<-waiting
		p := r.Pools()[0]
		p.Report(p.Backend(first), Probe{At: time.Now(), Verdict: Unfit, Reason: "a probe says so"})
		wantRescue(t, r, c, first, second)
	})
}

// TestServerLostInALoginWhileOthersAreDown: all backends are believed to be down after fairlead itself has been stopped for a while. A
// login whose server is lost then is led as new clients are: to the last resort.
func TestServerLostInALoginWhileOthersAreDown(t *testing.T) {
	for _, when := range []string{"before the login", "after the login"} {
		t.Run(when, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				greeted, gone := make(chan struct{}), make(chan struct{})
				first := backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					<-greeted
					if when == "after the login" {
						expect(t, c, richLogin())
					}
					c.Close()
					close(gone)
				})
				second := survivor(t)
				r := serve(t, kind, beginWith, first, second)
				c := r.dial()
				expect(t, c, plainGreeting)
				p := r.Pools()[0]
				for _, b := range p.Backends() {
					p.Report(b, Probe{At: time.Now(), Verdict: Unfit, Reason: "no answer within 500ms"})
				}
				close(greeted)
				if when == "before the login" {
					<-gone
				}
				c.send(richLogin())
				wantRescue(t, r, c, first, second)
			})
		})
	}
}

// TestLoginsThatCanNotBeRescued end as they always did.
func TestLoginsThatCanNotBeRescued(t *testing.T) {
	old := mysqlwire.Login{Capabilities: mysqlwire.ClientProtocol41 | mysqlwire.ClientSecureConnection, User: "ann", AuthResponse: []byte("12345678901234567890")}
	oldLogin := packetOf(1, string(old.Append(nil)))
	for name, test := range map[string]struct {
		login, answer string // of the client, and of the server that is lost after it
		change        func(*Config)
	}{
		"answered":       {richLogin(), packetOf(2, switchRequest), nil},
		"half answered":  {richLogin(), packetOf(2, switchRequest)[:7], nil},
		"early":          {richLogin() + packetOf(3, "x"), "", nil},
		"no plugins":     {oldLogin, "", nil},
		"none for it":    {richLogin(), "", func(c *Config) { c.Pools[0].Backends[1].Weight = 0 }},
		"the role lacks": {richLogin(), "", func(c *Config) { c.Listeners[0].Roles, c.Pools[0].Backends[0].Role = []Role{Leader}, string(Leader) }},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				first := backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					expect(t, c, test.login)
					io.WriteString(c, test.answer)
				})
				second := backendOf(t, func(*net.TCPConn) { t.Error("another server was asked") })
				r := serve(t, kind, func(c *Config, o *Options) {
					beginWith(c, o)
					if test.change != nil {
						test.change(c)
					}
				}, first, second)
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(test.login)
				expect(t, c, test.answer)
				if rest, err := c.rest(); rest != "" || err != nil {
					t.Errorf("at the end %q, %v", rest, err)
				}
				c.Close()
				r.wantEnd("server_closed")
			})
		})
	}
}

// TestALoginThatTwoServersLose is the third one's.
func TestALoginThatTwoServersLose(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		first, second, third := loser(t, plainGreeting), loser(t, secondGreeting(mysqlwire.StarRocksCapabilities)), survivor(t)
		r := serve(t, kind, beginWith, first, second, third)
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		wantRescue(t, r, c, first, third)
		if n := r.gauge("redispatches_total", "fe", second, "replay_closed"); n != 1 {
			t.Errorf("the second loss is counted %v times", n)
		}
		for _, b := range r.Pools()[0].Backends() {
			if b.State() != Unknown {
				t.Errorf("%s is %v now", b.Name, b.State())
			}
		}
	})
}

// stranger is a server that can't go on with what a client has begun with plainGreeting.
func stranger(t *testing.T) string {
	return backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities&^mysqlwire.ClientPluginAuth))
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("a server that does not speak the client's dialect was told %q, %v", b, err)
		}
	})
}

// TestServerLostInALoginNextToAStranger: of the backends that are left, one that does not speak what the client has begun is
// passed over, without blame.
func TestServerLostInALoginNextToAStranger(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		first, second, third := loser(t, plainGreeting), stranger(t), survivor(t)
		r := serve(t, kind, beginWith, first, second, third)
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		wantRescue(t, r, c, first, third)
		if state, n := r.Pools()[0].Backend(second).State(), r.sum("redispatches_total"); state != Unknown || n != 1 {
			t.Errorf("the stranger is %v, and %v redispatches are counted", state, n)
		}
	})
}

// TestServerLostInALoginAmongStrangers: nobody is left to go on with it.
func TestServerLostInALoginAmongStrangers(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, beginWith, loser(t, plainGreeting), stranger(t), stranger(t))
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		c.wantRefusal(`pool "fe": no backend speaks what the client has begun with another one`)
		r.wantReject("dialect")
	})
}

// TestALoginThatNoServerBears: each of them gets to see it once, and none is blamed.
func TestALoginThatNoServerBears(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		seen := make(chan string, 3)
		server := func(greeting string) string {
			return backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, greeting)
				if _, _, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload); err == nil {
					seen <- greeting
				}
			})
		}
		backends := []string{server(plainGreeting), server(plainGreeting), server(plainGreeting)}
		r := serve(t, kind, beginWith, backends...)
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		c.wantRefusal(`pool "fe"`)
		r.wantReject("no_backend")
		if len(seen) != len(backends) {
			t.Errorf("%d servers have seen it", len(seen))
		}
		for _, b := range r.Pools()[0].Backends() {
			if b.State() != Unknown {
				t.Errorf("%s is %v now", b.Name, b.State())
			}
		}
	})
}
