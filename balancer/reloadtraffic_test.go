package balancer

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

// An address goes from one listener to another with its socket, and one that overlaps is taken over: not one client is
// refused meanwhile.
func TestReloadMovesAddresses(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses[0])
		narrow := freePort(t)
		wide := netip.AddrPortFrom(netip.IPv4Unspecified(), narrow.Port())
		r.reload(func(c *Config) { c.Listeners[0].Bind = []netip.AddrPort{narrow} })
		before := r.Listener("mysql").doors()[0]
		r.reload(func(c *Config) { c.Listeners[0].Name = "other" })
		if after := r.Listener("other").doors()[0]; after != before || r.Listener("mysql") != nil {
			t.Error("the socket was not handed on")
		}
		over := make(chan struct{})
		var clients sync.WaitGroup
		var served atomic.Int32
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				c, err := login(narrow.String(), "")
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
				served.Add(1)
			}
		})
		for i := range 20 {
			bind := wide
			if i%2 == 1 {
				bind = narrow
			}
			r.reload(func(c *Config) { c.Listeners[0].Bind = []netip.AddrPort{bind} })
			was := served.Load()
			eventually(t, "a client to be served", func() bool { return served.Load() > was || t.Failed() })
		}
		close(over)
		clients.Wait()
		r.settle()
	})
}

// A session that is being set up when its listener and its pool are removed goes on as if nothing had happened.
func TestReloadDuringSetUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		slow, release := startHeldFE(t)
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			other := c.Pools[0]
			other.Name, other.Backends = "etl", []BackendConfig{{Address: slow, Weight: 1}}
			c.Pools = append(c.Pools, other)
			c.Listeners[0].Routes = []RouteConfig{{User: []string{"root"}, Pool: "etl"}}
		}, addresses[0])
		c := r.dial()
		c.greet() // by the listener's pool, and its login will be led to the other one
		added := freePort(t)
		r.reload(func(config *Config) {
			config.Pools = config.Pools[:1]
			config.Pools[0].Name = "new"
			config.Listeners = []ListenerConfig{{Name: "door", Bind: []netip.AddrPort{added}, Pool: "new", Backlog: 10}}
		})
		c.send(loginPacket("root"))
		release()
		for p := c.packet(); p[0] != okPacket; p = c.packet() {
			if p[0] == errPacket {
				t.Fatalf("the login fails: %q", p)
			}
			c.send("\x00\x00\x00\x03") // no password
		}
		if live := r.LiveSessions(); len(live) != 1 || live[0].Pool != "etl" || live[0].Listener != "mysql" {
			t.Errorf("%+v", live)
		}
		c.Close()
		r.record()
		r.settle()
		eventually(t, "the removed to be forgotten", func() bool {
			r.clear()
			s := r.Status()
			return len(s.Listeners) == 1 && len(s.Pools) == 1
		})
	})
}

// startHeldFE starts a stand-in front end.
func startHeldFE(t *testing.T) (address string, release func()) {
	_, addresses := startFEs(t, 1, nil)
	return addresses[0], func() {}
}

// Whatever is reloaded under load, no login fails and no session is broken; in the end the books are in order.
func TestReloadsUnderLoad(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 4, nil)
		r := serve(t, kind, nil, addresses[:2]...)
		address := freePort(t)
		r.reload(func(c *Config) { c.Listeners[0].Bind = []netip.AddrPort{address} })
		over := make(chan struct{})
		var clients sync.WaitGroup
		var served atomic.Int64
		for range 4 {
			clients.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
					}
					c, err := login(address.String(), "")
					if err != nil {
						t.Error(err)
						return
					}
					if got := ask(t, c, "select 1"); got != "1" {
						t.Errorf("an answer of %q", got)
					}
					c.Close()
					served.Add(1)
				}
			})
		}
		var reloads sync.WaitGroup
		for worker := range 2 { // two at once
			reloads.Go(func() {
				for i := range 60 {
					if err := r.tryReload(func(c *Config) { variant(c, worker+2*i, addresses) }); err != nil {
						t.Error(err)
					}
					if i%10 == 0 {
						was := served.Load()
						eventually(t, "clients to be served", func() bool { return served.Load() > was+2 || t.Failed() })
					}
				}
			})
		}
		reloads.Wait()
		close(over)
		clients.Wait()
		r.settle()
		r.reload(func(c *Config) { variant(c, 0, addresses) })
		eventually(t, "the removed to be forgotten", func() bool {
			r.clear()
			s := r.Status()
			return len(s.Listeners) == 1 && len(s.Pools) == 1 && len(r.outgoingTerms()) == 0
		})
	})
}

func (b *Balancer) outgoingTerms() []*terms {
	b.changing.Lock()
	defer b.changing.Unlock()
	return b.outgoing
}

// variant changes a configuration in one of many ways; the address of its first listener stays.
func variant(c *Config, n int, addresses []string) {
	listener, pool := c.Listeners[0], c.Pools[0]
	listener.Name = fmt.Sprint("mysql", n/3%2)
	pool.Name = fmt.Sprint("fe", n/2%3)
	listener.Pool = pool.Name
	listener.Gate.MaxSessionsPerSource = 1000 * (n % 2)
	listener.Gate.Rate = 1_000_000 * (n / 2 % 2)
	listener.MaxSessionsPerUser = 1000 * (n / 4 % 2)
	listener.Routes = nil
	pool.Backends = nil
	for i, a := range addresses {
		if n>>i%2 == 0 || i == n%len(addresses) {
			pool.Backends = append(pool.Backends, BackendConfig{Address: a, Weight: 1 + n%5, Name: []string{"", "name" + fmt.Sprint(i)}[n/5%2]})
		}
	}
	pool.Policy = []Policy{LeastConnections, RoundRobin, SourceHash}[n%3]
	c.Listeners, c.Pools = []ListenerConfig{listener}, []PoolConfig{pool}
	if n%4 == 1 {
		second := pool
		second.Name = "second"
		c.Pools = append(c.Pools, second)
		c.Listeners[0].Routes = []RouteConfig{{Source: networks("127.0.0.0/8"), Pool: "second"}}
	}
}
