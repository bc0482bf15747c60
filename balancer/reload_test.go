package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// reload puts in force what change makes of the rig's configuration, which it returns.
func (r *balancerRig) reload(change func(*Config)) {
	r.t.Helper()
	if err := r.tryReload(change); err != nil {
		r.t.Fatal(err)
	}
}

func (r *balancerRig) tryReload(change func(*Config)) error {
	next := r.present()
	change(&next)
	reload, err := r.Prepare(context.Background(), next)
	if err != nil {
		return err
	}
	reload.Apply()
	reload.Cancel() // does nothing any more
	return nil
}

// present is the configuration in force; its lists may be changed.
func (r *balancerRig) present() Config {
	config := Config{Engine: r.engineConfig}
	now := r.now()
	for _, l := range now.listeners {
		c := l.terms.Load().ListenerConfig
		c.Bind = slices.Clone(c.Bind)
		config.Listeners = append(config.Listeners, c)
	}
	for _, p := range now.pools {
		c := p.Config()
		c.Backends = slices.Clone(c.Backends)
		config.Pools = append(config.Pools, c)
	}
	return config
}

// freePort is an address of loopback that nobody listens on.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// A reload keeps what stays, with its socket, its state, its orders and its counts, and sessions go on whatever goes.
func TestReloadKeeps(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 3, nil)
		r := serve(t, kind, nil, addresses[:2]...)
		listener, pool, address := r.Listener("mysql"), r.Pool("fe"), r.address()
		first, second := pool.Backends()[0], pool.Backends()[1]
		held := []*client{r.enter(), r.enter(), r.enter(), r.enter()}
		pool.Order(first, Standing{Order: Drain, By: "a test"})
		r.reload(func(c *Config) {
			c.Pools[0].Backends[0].Weight = 7
			c.Pools[0].Backends[1] = BackendConfig{Address: addresses[2], Weight: 1}
			c.Listeners[0].LoginTimeout = hang / 2
		})
		if r.Listener("mysql") != listener || r.Pool("fe") != pool || r.address() != address || pool.Backends()[0] != first {
			t.Error("listener, socket, pool or backend was not kept")
		}
		if s := first.State(); s != Draining || first.Config().Weight != 7 || first.Sessions() != 2 {
			t.Errorf("the backend is %v, has weight %d and %d sessions", s, first.Config().Weight, first.Sessions())
		}
		status := r.Status()
		if b := status.Pools[0].Backends; len(b) != 3 || !b[2].Removed || b[2].Name != second.Name || b[2].Sessions != 2 || b[2].State != Draining {
			t.Errorf("the removed one: %+v", b)
		}
		if n := status.Listeners[0].Sessions; n != 4 || r.Sessions() != 4 {
			t.Errorf("%d sessions at the listener, %d in all", n, r.Sessions())
		}
		fresh := r.enter()
		if n := fes[2].Sessions(); n != 1 {
			t.Errorf("the new backend has %d sessions", n)
		}
		for _, c := range append(held, fresh) {
			c.send(pingPacket)
			if p := c.packet(); p[0] != okPacket {
				t.Errorf("%q after the reload", p)
			}
			c.Close()
			r.record()
		}
		r.forgiven = true
		eventually(t, "the removed backend to be forgotten", func() bool { return len(r.Status().Pools[0].Backends) == 2 })
		if _, ok := gauge(t, r.metrics, "backend_state", second.Name, "draining"); ok {
			t.Error("the removed backend still has series")
		}
	})
}

const pingPacket = "\x01\x00\x00\x00\x0e"

// What is added serves at once, and what is removed takes no more clients, while its sessions go on and are counted.
func TestReloadAddsAndRemoves(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, nil, addresses[0])
		old := r.enter()
		oldAddress, added := r.address(), freePort(t)
		r.reload(func(c *Config) {
			more := c.Pools[0]
			more.Name, more.Backends = "more", []BackendConfig{{Address: addresses[1], Weight: 1}}
			c.Pools = append(c.Pools, more)
			door := c.Listeners[0]
			door.Name, door.Pool, door.Bind = "door", "more", []netip.AddrPort{added}
			c.Listeners = append(c.Listeners, door)
		})
		c := dialClient(t, added.String())
		c.greet()
		c.send(loginPacket("root"))
		c.packet()
		if n := r.Pool("more").Status().Sessions; n != 1 {
			t.Errorf("the new pool has %d sessions", n)
		}
		r.reload(func(c *Config) { c.Listeners, c.Pools = c.Listeners[1:], c.Pools[1:] })
		if _, err := net.Dial("tcp", oldAddress); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the removed listener still listens: %v", err)
		}
		status := r.Status()
		if l, p := status.Listeners[1], status.Pools[1]; !l.Removed || l.Name != "mysql" || l.Sessions != 1 || !p.Removed || p.Name != "fe" || p.Sessions != 1 {
			t.Errorf("%+v %+v", l, p)
		}
		if live := r.LiveSessions(); len(live) != 2 {
			t.Errorf("live sessions: %+v", live)
		}
		// They come back, and find their counts.
		r.reload(func(config *Config) {
			config.Listeners = append(config.Listeners, ListenerConfig{Name: "mysql", Bind: []netip.AddrPort{netip.MustParseAddrPort(oldAddress)}, Pool: "fe", Backlog: 10})
			fe := config.Pools[0]
			fe.Name, fe.Backends = "fe", []BackendConfig{{Address: addresses[0], Weight: 1}}
			config.Pools = append(config.Pools, fe)
		})
		if s := r.Status(); s.Listeners[1].Removed || s.Listeners[1].Sessions != 1 || s.Pools[1].Removed {
			t.Errorf("back again: %+v", s.Listeners[1])
		}
		r.reload(func(c *Config) { c.Listeners, c.Pools = c.Listeners[:1], c.Pools[:1] })
		old.send(pingPacket)
		if p := old.packet(); p[0] != okPacket {
			t.Errorf("%q after its listener and its pool went", p)
		}
		old.Close()
		r.record()
		eventually(t, "the removed to be forgotten", func() bool {
			r.clear()
			s := r.Status()
			return len(s.Listeners) == 1 && len(s.Pools) == 1
		})
		for _, name := range []string{"listener_accepts_total", "sessions_total", "backend_sessions"} {
			if series := seriesOf(t, r, name); strings.Contains(series, `"mysql"`) || strings.Contains(series, `"fe"`) {
				t.Errorf("series are left of what was removed: %s", series)
			}
		}
		c.Close()
		r.record()
		r.forgiven = true // series of what was removed are gone, so that sums can't agree
	})
}

// seriesOf prints the series of a metric.
func seriesOf(t *testing.T, r *balancerRig, name string) string {
	families, err := r.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "fairlead_"+name {
			return f.String()
		}
	}
	return ""
}

// settle waits for all sessions to end, and takes them from the records; sums of series do not count any more.
func (r *balancerRig) settle() {
	r.t.Helper()
	r.forgiven = true
	eventually(r.t, "sessions to end", func() bool { return r.Sessions() == 0 })
}

// A reload that can't have an address, that is not valid, or that would lose the last name changes nothing.
func TestReloadRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		lookup := func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
		r := serve(t, kind, func(_ *Config, o *Options) { o.Lookup = lookup }, addresses[0])
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		free := freePort(t)
		before, terms := fmt.Sprint(r.present()), r.Listener("mysql").terms.Load()
		var binding *ListenError
		err = r.tryReload(func(c *Config) {
			c.Listeners[0].MaxSessions = 1
			c.Pools[0].Backends[0].Address = addresses[1]
			for i, bind := range []netip.AddrPort{free, taken.Addr().(*net.TCPAddr).AddrPort()} {
				l := c.Listeners[0]
				l.Name, l.Bind = fmt.Sprint("new", i), []netip.AddrPort{bind}
				c.Listeners = append(c.Listeners, l)
			}
		})
		if !errors.As(err, &binding) || binding.Listener != "new1" || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a taken address: %v", err)
		}
		refuses := func(what string) {
			t.Helper()
			if _, err := net.Dial("tcp", free.String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("an address of %s is listened on: %v", what, err)
			}
		}
		refuses("the refused configuration")
		var invalid ConfigError
		if err := r.tryReload(func(c *Config) { c.Pools[0].Policy = "x" }); !errors.As(err, &invalid) {
			t.Errorf("an invalid one: %v", err)
		}
		var lost *LookupError
		if err := r.tryReload(func(c *Config) { c.Pools[0].Backends[0].Address = "nobody:9030" }); !errors.As(err, &lost) || lost.Host != "nobody" {
			t.Errorf("an unknown name: %v", err)
		}
		given := r.present()
		given.Listeners[0].Bind = []netip.AddrPort{free}
		reload, err := r.Prepare(context.Background(), given)
		if err != nil {
			t.Fatal(err)
		}
		reload.Cancel()
		reload.Apply() // does nothing any more
		refuses("the configuration that was given up")
		if after := fmt.Sprint(r.present()); after != before || r.Listener("mysql").terms.Load() != terms {
			t.Errorf("something has changed:\n%s\n%s", before, after)
		}
		r.enter().Close()
		r.wantEnd("client_closed")
		r.Close()
		if err := r.tryReload(func(*Config) {}); !errors.Is(err, ErrClosing) {
			t.Errorf("a reload of what is closed: %v", err)
		}
	})
}

// Counts of a gate and of logins go on over a reload, and new bounds hold for the next client.
func TestReloadOfLimits(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Listeners[0].Gate.MaxSessionsPerSource, c.Listeners[0].MaxSessionsPerUser = 2, 9
		}, addresses...)
		held := []*client{r.enter(), r.enter()}
		r.dial().wantGone()
		r.wantReject(rejectSourceFull)
		r.reload(func(c *Config) { c.Listeners[0].Gate.MaxSessionsPerSource = 3 })
		held = append(held, r.enter())
		r.dial().wantGone()
		r.wantReject(rejectSourceFull)
		r.reload(func(c *Config) {
			c.Listeners[0].Gate.MaxSessionsPerSource, c.Listeners[0].MaxSessionsPerUser = 0, 4
		})
		held = append(held, r.enter())
		_, err := login(r.address(), "")
		wantRefusal(t, err, 1203, "max_sessions_per_user of 4")
		r.wantReject("user_full")
		r.reload(func(c *Config) { c.Listeners[0].MaxSessionsPerUser, c.Listeners[0].MaxSessions = 0, 4 })
		_, err = login(r.address(), "")
		wantRefusal(t, err, 1040, "max_sessions of 4")
		r.wantReject("listener_full")
		r.reload(func(c *Config) { c.Listeners[0].MaxSessions = 0; c.Pools[0].MaxSessions = 4; c.Pools[0].Queue = 0 })
		_, err = login(r.address(), "")
		wantRefusal(t, err, 1040, "every backend is at its max_sessions")
		r.wantReject("full")
		for _, c := range held {
			c.Close()
			r.wantEnd("client_closed")
		}
		if n := len(r.Listener("mysql").gate.mu.sources); n != 0 {
			t.Errorf("the gate knows %d sources at the end", n)
		}
	})
}
