package balancer

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// TestRightPoolFails: servers that fail before the client has heard of them cost nothing, as long as one is left.
func TestRightPoolFails(t *testing.T) {
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}
	bad := map[string]func(t *testing.T) string{
		"connect_refused": func(*testing.T) string { return closed() },
		"greeting_closed": func(t *testing.T) string { return backendOf(t, func(*net.TCPConn) {}) },
		"replay_closed": func(t *testing.T) string {
			return backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
				wantReplay(t, c, richLogin(), nil)
			})
		},
		"replay_reset": func(t *testing.T) string {
			return backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
				wantReplay(t, c, richLogin(), nil)
				c.SetLinger(0)
			})
		},
		"replay_timeout": func(t *testing.T) string {
			return backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities)+"\x05\x00")
				io.Copy(io.Discard, c)
			})
		},
	}
	for reason, start := range bad {
		t.Run(reason, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				good := backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
					wantReplay(t, c, richLogin(), nil)
					io.WriteString(c, packetOf(2, ok))
					io.Copy(io.Discard, c)
				})
				b := start(t)
				r := serveRoutes(t, kind, func(c *Config) {
					if reason == "replay_timeout" {
						c.Pools[1].GreetingTimeout = 200 * time.Millisecond
					}
					c.Pools[1].Policy = RoundRobin // begins with the first
				}, annToETL, []string{greeter(t)}, []string{b, good})
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(richLogin())
				expect(t, c, packetOf(2, ok))
				c.Close()
				if s := r.wantEnd("client_closed"); s.Backend != good {
					t.Errorf("served by %s", s.Backend)
				}
				if r.gauge("redispatches_total", "etl", b, reason) != 1 {
					t.Error("the redispatch is not counted")
				}
			})
		})
		t.Run(reason+" and no other", func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				b := start(t)
				r := serveRoutes(t, kind, func(c *Config) {
					if reason == "replay_timeout" {
						c.Pools[1].GreetingTimeout = 200 * time.Millisecond
					}
				}, annToETL, []string{greeter(t)}, []string{b})
				c := r.dial()
				expect(t, c, plainGreeting)
				c.send(richLogin())
				c.wantRefusal(`pool "etl": no backend is available (`)
				c.wantGone()
				if s := r.wantReject("no_backend"); s.Pool != "etl" || s.Backend != "" {
					t.Errorf("the record is %+v", s)
				}
			})
		})
	}
}

// wantRefusal reads the answer to a login that no backend takes.
func (c *client) wantRefusal(text string) {
	c.t.Helper()
	h, payload, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload)
	if err != nil || h.Sequence != 2 {
		c.t.Fatalf("answer number %d: %v", h.Sequence, err)
	}
	refused, err := mysqlwire.ParseError(payload)
	if err != nil || refused.Code != 1040 || refused.State != "08004" || !strings.Contains(refused.Message, text) {
		c.t.Errorf("the answer is %v, %v", refused, err)
	}
}

// TestMovedLoginsWaitForAPlace without holding one of the pool that greeted.
func TestMovedLoginsWaitForAPlace(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		greeted := make(chan struct{}, 2)
		first := backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, plainGreeting)
			io.Copy(io.Discard, c)
			greeted <- struct{}{}
		})
		r := serveRoutes(t, kind, func(c *Config) {
			c.Pools[1].Backends[0].MaxSessions = 1
			c.Pools[1].Queue = 1
		}, annToETL, []string{first}, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, c, richLogin(), nil)
			io.WriteString(c, packetOf(2, ok))
			io.Copy(io.Discard, c)
		})})
		enter := func() *client {
			c := r.dial()
			expect(t, c, plainGreeting)
			c.send(richLogin())
			return c
		}
		holds := enter()
		expect(t, holds, packetOf(2, ok))
		<-greeted
		waits := enter()
		<-greeted // closed while it waits
		eventually(t, "the lease to be given back", func() bool { return r.Pool("fe").Backends()[0].Sessions() == 0 })
		if n := r.Status().Pools[1].Queued; n != 1 {
			t.Errorf("%d are waiting", n)
		}
		refused := enter()
		h, payload, err := mysqlwire.ReadPacket(refused, nil, mysqlwire.MaxPayload)
		if err != nil || h.Sequence != 2 || payload[0] != errPacket || !strings.Contains(string(payload), `pool "etl": every backend is at its max_sessions`) {
			t.Errorf("number %d: %q, %v", h.Sequence, payload, err)
		}
		r.wantReject("full")
		holds.Close()
		r.wantEnd("client_closed")
		expect(t, waits, packetOf(2, ok))
		waits.Close()
		r.wantEnd("client_closed")
	})
}

// TestMovedLoginsHaveNoMoreTime than others.
func TestMovedLoginsHaveNoMoreTime(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serveRoutes(t, kind, func(c *Config) { c.Listeners[0].LoginTimeout = time.Second }, annToETL, []string{greeter(t)},
			[]string{backendOf(t, func(c *net.TCPConn) {
				io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
				wantReplay(t, c, richLogin(), nil)
				io.WriteString(c, packetOf(2, switchRequest))
				io.Copy(io.Discard, c)
			})})
		c := r.dial()
		expect(t, c, plainGreeting)
		c.send(richLogin())
		expect(t, c, packetOf(2, switchRequest))
		c.wantGone()
		if s := r.wantReject("login_timeout"); s.Pool != "etl" {
			t.Errorf("the record is %+v", s)
		}
	})
}

// TestClientsThatGoWhileTheyAreMoved take their places with them.
func TestClientsThatGoWhileTheyAreMoved(t *testing.T) {
	arrived := make(chan struct{}, 1)
	for name, speak := range map[string]func(*testing.T, *net.TCPConn){
		"before the greeting": func(*testing.T, *net.TCPConn) {},
		"before the answer": func(t *testing.T, c *net.TCPConn) {
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, c, richLogin(), nil)
		},
		"before the verdict": func(t *testing.T, c *net.TCPConn) {
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, c, richLogin(), nil)
			io.WriteString(c, packetOf(2, switchRequest))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := serveRoutes(t, "auto", nil, annToETL, []string{greeter(t)}, []string{backendOf(t, func(c *net.TCPConn) {
				speak(t, c)
				arrived <- struct{}{}
				io.Copy(io.Discard, c)
			})})
			c := r.dial()
			expect(t, c, plainGreeting)
			c.send(richLogin())
			<-arrived
			c.Close()
			if s := r.record(); s.Pool != "etl" || !strings.HasPrefix(s.End, "client_") {
				t.Errorf("the record is %+v", s)
			}
		})
	}
}
