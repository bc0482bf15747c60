package balancer

import (
	"fairlead/internal/fakefe"
	"fmt"
	"net"
	"net/netip"
	"runtime"
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
		served, stop := logInAgain(t, 1, narrow.String())
		for i := range 20 {
			bind := wide
			if i%2 == 1 {
				bind = narrow
			}
			r.reload(func(c *Config) { c.Listeners[0].Bind = []netip.AddrPort{bind} })
			was := served.Load()
			eventually(t, "a client to be served", func() bool { return served.Load() > was || t.Failed() })
		}
		stop()
		r.settle()
	})
}

// Who has come by a socket that another listener's takes the place of is the other listener's client.
func TestReloadTakesClientsOver(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("has one address of loopback")
	}
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses[0])
		narrow := freePort(t)
		wide := netip.AddrPortFrom(netip.IPv4Unspecified(), narrow.Port())
		var c net.Conn
		for c == nil { // the socket may be closed already
			r.reload(func(c *Config) { c.Listeners[0].Name, c.Listeners[0].Bind = "before", []netip.AddrPort{wide} })
			r.reload(func(c *Config) { c.Listeners[0].Name, c.Listeners[0].Bind = "after", []netip.AddrPort{narrow} })
			r.changing.Lock() // nobody closes it now
			c, _ = net.Dial("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), narrow.Port()).String())
			if c != nil {
				eventually(t, "the client to be served", func() bool { return len(r.LiveSessions()) > 0 })
			}
			r.changing.Unlock()
		}
		if live := r.LiveSessions(); live[0].Listener != "after" {
			t.Errorf("the client is one of listener %q", live[0].Listener)
		}
		c.Close()
		r.settle()
	})
}

// A session that is being set up when its pools are removed, perhaps with its listener, goes on as if nothing had happened.
func TestReloadDuringSetUp(t *testing.T) {
	for name, test := range map[string]struct{ beforeLogin, listenerStays bool }{
		"before the login, without the listener": {true, false}, "before the login": {true, true},
		"while the server is silent, without the listener": {false, false}, "while the server is silent": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) { reloadDuringSetUp(t, kind, test.beforeLogin, test.listenerStays) })
		})
	}
}

func reloadDuringSetUp(t *testing.T, kind string, beforeLogin, listenerStays bool) {
	fes, addresses := startFEs(t, 2, nil)
	r := serve(t, kind, func(c *Config, _ *Options) {
		other := c.Pools[0]
		other.Name, other.Backends = "etl", []BackendConfig{{Address: addresses[1], Weight: 1}}
		c.Pools = append(c.Pools, other)
		c.Listeners[0].Routes = []RouteConfig{{User: []string{"root"}, Pool: "etl"}}
	}, addresses[0])
	if err := fes[1].Set(fakefe.Silent); err != nil {
		t.Fatal(err)
	}
	c := r.dial()
	c.greet() // by the listener's pool, and its login will be led to the other one
	wait := func() {
		c.send(loginPacket("root"))
		eventually(t, "the session to wait for a greeting", func() bool { return fes[1].Counts().Present[fakefe.Waiting] == 1 })
	}
	if !beforeLogin {
		wait()
	}
	added := freePort(t)
	r.reload(func(config *Config) {
		config.Pools = config.Pools[:1]
		config.Pools[0].Name = "new"
		if listenerStays {
			config.Listeners[0].Pool, config.Listeners[0].Routes = "new", nil
			return
		}
		config.Listeners = []ListenerConfig{{Name: "door", Bind: []netip.AddrPort{added}, Pool: "new", Backlog: 10}}
	})
	r.clear()
	if beforeLogin {
		wait()
	}
	if err := fes[1].Restore(); err != nil {
		t.Fatal(err)
	}
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
}

// logInAgain has n clients log in, ask and leave again and again until stop is called, and counts them. None may fail.
func logInAgain(t *testing.T, n int, address string) (served *atomic.Int64, stop func()) {
	over, served := make(chan struct{}), &atomic.Int64{}
	var clients sync.WaitGroup
	for range n {
		clients.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				c, err := login(address, "")
				if err != nil {
					t.Error(err)
					return
				}
				if err := pings(c); err != nil {
					t.Error(err)
				}
				c.Close()
				served.Add(1)
			}
		})
	}
	stop = sync.OnceFunc(func() { close(over); clients.Wait() })
	t.Cleanup(stop)
	return served, stop
}

// Whatever is reloaded under load, no login fails and no session is broken; in the end the books are in order.
func TestReloadsUnderLoad(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 4, nil)
		r := serve(t, kind, nil, addresses[:2]...)
		address := freePort(t)
		r.reload(func(c *Config) { c.Listeners[0].Bind = []netip.AddrPort{address} })
		served, stop := logInAgain(t, 4, address.String())
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
		stop()
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
