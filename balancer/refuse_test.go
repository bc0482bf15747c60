package balancer

import (
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// TestRefusals: a client for which there is no backend reads why, in its own protocol.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config, *Options)
		before func(t *testing.T, r *balancerRig, fes []*fakefe.FE)
		words  []string
		reason string
	}{
		"no backend that answers": {
			before: func(t *testing.T, _ *balancerRig, fes []*fakefe.FE) {
				for _, fe := range fes {
					fe.Set(fakefe.Refuse)
				}
			},
			words: []string{`fairlead: pool "fe"`, "no backend is available", "connect: refused"}, reason: "no_backend",
		},
		"backends that err": {
			before: func(t *testing.T, _ *balancerRig, fes []*fakefe.FE) {
				for _, fe := range fes {
					fe.Set(fakefe.ErrorFirst)
				}
			},
			words: []string{`fairlead: pool "fe"`, "no backend is available", `error 1040: "Too many connections"`}, reason: "no_backend",
		},
		"backends that a person took out": {
			before: func(_ *testing.T, r *balancerRig, _ []*fakefe.FE) {
				for _, b := range r.Pool("fe").Backends() {
					_ = r.Pool("fe").Order(b, Standing{Order: Disable, By: "a person"}) // it is a member
				}
			},
			words: []string{`fairlead: pool "fe": no backend is available`}, reason: "no_backend",
		},
		"names that don't resolve": {
			change: func(c *Config, o *Options) {
				for i := range c.Pools[0].Backends {
					c.Pools[0].Backends[i].Address = strings.Replace(c.Pools[0].Backends[i].Address, "127.0.0.1", "fe", 1)
				}
				o.Lookup = (&directory{}).lookup
			},
			words: []string{`fairlead: pool "fe": no backend is available`}, reason: "no_backend",
		},
		"full": {
			change: func(c *Config, _ *Options) { c.Pools[0].MaxSessions = 1 },
			before: func(t *testing.T, r *balancerRig, _ []*fakefe.FE) { r.crowd(2, 2) },
			words:  []string{`fairlead: pool "fe"`, "max_sessions"}, reason: "full",
		},
		"nothing came free": {
			change: func(c *Config, _ *Options) {
				c.Pools[0].MaxSessions, c.Pools[0].Queue, c.Pools[0].QueueTimeout = 1, 1, 50*time.Millisecond
			},
			before: func(t *testing.T, r *balancerRig, _ []*fakefe.FE) { r.crowd(2, 2) },
			words:  []string{`fairlead: pool "fe"`, "no place came free"}, reason: "queue_timeout",
		},
		"listener full": {
			change: func(c *Config, _ *Options) { c.Listeners[0].MaxSessions = 2 },
			before: func(t *testing.T, r *balancerRig, _ []*fakefe.FE) { r.crowd(2, 2) },
			words:  []string{`fairlead: listener "mysql"`, "max_sessions"}, reason: "listener_full",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				fes, addresses := startFEs(t, 2, nil)
				r := serve(t, kind, test.change, addresses...)
				if test.before != nil {
					test.before(t, r, fes)
				}
				_, err := login(r.address(), "")
				wantRefusal(t, err, 1040, test.words...)
				if s := r.wantReject(test.reason); s.Backend != "" || s.ToClient != 0 && test.reason == "" {
					t.Errorf("the record is %+v", s)
				}
			})
		})
	}
}

// TestErrorsTellNoAddresses of servers to clients, who have no business with them.
func TestErrorsTellNoAddresses(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			// Broadcast and multicast: the kernel's own refusals.
			c.Pools[0].Backends = []BackendConfig{{Address: "255.255.255.255:9030", Weight: 1}, {Address: "224.0.0.1:9030", Weight: 1}}
		}, addresses...)
		c := r.dial()
		answer := c.wantGone()
		if strings.Contains(answer, "255.255") || strings.Contains(answer, "224.0") || !strings.Contains(answer, `pool "fe"`) {
			t.Errorf("the client reads %q", answer)
		}
		r.wantReject("no_backend")
	})
}

// TestPlacesAreTakenInTurn: max_sessions and the queue, end to end.
func TestPlacesAreTakenInTurn(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].MaxSessions, c.Pools[0].Queue = 2, 8 }, addresses...)
		in := r.crowd(4, 4)
		var waiting sync.WaitGroup
		entered := make(chan *client, 8)
		for range 8 {
			waiting.Go(func() { entered <- r.enter() })
		}
		queued := func(n int) func() bool { return func() bool { return r.Status().Pools[0].Queued == n } }
		eventually(t, "all to be in the queue", queued(8))
		_, err := login(r.address(), "")
		wantRefusal(t, err, 1040, "max_sessions")
		r.wantReject("full")
		if got := r.gauge("pool_queue", "fe"); got != 8 {
			t.Errorf("the gauge of the queue shows %v, want 8", got)
		}
		for _, c := range in {
			c.Close()
		}
		for range 8 {
			c := <-entered
			for _, b := range r.Status().Pools[0].Backends {
				if b.Sessions > 2 {
					t.Errorf("%s has %d sessions, its cap is 2", b.Name, b.Sessions)
				}
			}
			c.Close()
		}
		waiting.Wait()
		for range 12 {
			if s := r.record(); s.End != "client_closed" {
				t.Errorf("the record is %+v", s)
			}
		}
	})
}

// TestAClientThatLeavesTheQueue gives its place there up at once, where the engine can see it.
func TestAClientThatLeavesTheQueue(t *testing.T) {
	_, addresses := startFEs(t, 1, nil)
	r := serve(t, engines()[0], func(c *Config, _ *Options) { c.Pools[0].MaxSessions, c.Pools[0].Queue = 1, 1 }, addresses...)
	in := r.enter()
	c := r.dial()
	eventually(t, "the client to be in the queue", func() bool { return r.Status().Pools[0].Queued == 1 })
	if engines()[0] == "loops" {
		c.Close()
		if s := r.wantEnd("client_gone"); s.Backend != "" {
			t.Errorf("the record is %+v", s)
		}
		if r.Status().Pools[0].Queued != 0 {
			t.Error("it is still in the queue")
		}
	}
	in.Close()
}

// TestListenerCapIsExact: of many at once so many come in as may.
func TestListenerCapIsExact(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Listeners[0].MaxSessions = 10 }, addresses...)
		var all sync.WaitGroup
		came := make(chan byte, 64)
		for range 64 {
			all.Go(func() {
				c := r.dial()
				came <- c.packet()[0]
			})
		}
		all.Wait()
		in := 0
		for range 64 {
			if <-came != errPacket {
				in++
			}
		}
		if in != 10 {
			t.Errorf("%d came in, want 10", in)
		}
	})
}

// TestATCPPoolRefusesByClosing: in a protocol that is not known there are no words.
func TestATCPPoolRefusesByClosing(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // nobody is there any more
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].Protocol = TCP }, l.Addr().String())
		c := r.dial()
		if said := c.wantGone(); said != "" {
			t.Errorf("the client reads %q", said)
		}
		r.wantReject("no_backend")
	})
}

// TestOwnShortageOfPorts: a source address that is not this host's is no backend's fault.
func TestOwnShortageOfPorts(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].Source = netip.MustParseAddr("192.0.2.1") }, addresses...)
		_, err := login(r.address(), "")
		wantRefusal(t, err, 1040, `pool "fe"`, "source ports")
		r.wantReject("no_backend")
		for _, b := range r.Pool("fe").Backends() {
			if b.State() != Unknown {
				t.Errorf("%v is %v", b, b.State())
			}
		}
	})
}
