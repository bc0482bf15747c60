package balancer

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/proxywire"
)

// maxWeight is the greatest weight; a thousandth is as fine a share as anyone can measure.
const maxWeight = 1000

func (f *faults) pool(c Config, i int, p PoolConfig) {
	at := fmt.Sprintf("pool[%d]", i)
	if f.name(at+".name", p.Name) {
		for j, other := range c.Pools[:i] {
			if other.Name == p.Name {
				f.conflict(at+".name", fmt.Sprintf("pool[%d].name", j),
					fmt.Sprintf("a second pool is named %q", p.Name), "names must differ")
				break
			}
		}
	}
	oneOf(f, at+".protocol", p.Protocol, MySQL, TCP)
	oneOf(f, at+".send_proxy", p.SendProxy, "", proxywire.V1, proxywire.V2)
	oneOf(f, at+".policy", p.Policy, LeastConnections, RoundRobin, SourceHash)
	oneOf(f, at+".sessions_on_down", p.SessionsOnDown, Verify, CloseSessions, KeepSessions)
	f.wait(at+".connect_timeout", p.ConnectTimeout)
	if p.Protocol != TCP {
		f.wait(at+".greeting_timeout", p.GreetingTimeout)
	}
	f.wait(at+".setup_timeout", p.SetupTimeout)
	f.optional(at+".idle_timeout", p.IdleTimeout)
	f.optional(at+".linger", p.Linger)
	f.keepalive(at+".keepalive", p.Keepalive)
	f.count(at+".max_sessions", p.MaxSessions, 0, most)
	f.count(at+".queue", p.Queue, 0, most)
	f.wait(at+".queue_timeout", p.QueueTimeout)
	f.optional(at+".slow_start", p.SlowStart)
	f.rebalance(at, p)
	f.wait(at+".resolve_interval", p.ResolveInterval)
	if p.Source.IsMulticast() || p.Source.IsUnspecified() {
		f.add(at+".source", fmt.Sprintf("source %v is not an address that connections can come from", p.Source),
			"leave source empty to let the kernel choose")
	}
	if len(p.Backends) == 0 {
		f.add(at+".backend", "the pool has no backend", `add [[pool.backend]] with address = "host:9030"`)
	}
	for j, b := range p.Backends {
		f.backend(c, p, at, j, b)
	}
	f.twins(at, p.Backends)
	f.count(at+".minimum", p.Minimum, 0, most)
}

func (f *faults) rebalance(at string, p PoolConfig) {
	if p.Rebalance != "" {
		oneOf(f, at+".rebalance", p.Rebalance, RebalanceOff, RebalanceIdle)
	}
	f.count(at+".rebalance_spread", p.RebalanceSpread, 0, 1000)
	switch {
	case p.Rebalance != RebalanceIdle:
	case p.Protocol == TCP:
		f.add(at+".rebalance", "in a pool whose protocol is tcp no session is known to be idle", `remove rebalance`)
	case p.Policy == SourceHash:
		f.add(at+".rebalance", "with the policy source-hash a client would come back to the same backend", `remove rebalance, or choose another policy`)
	}
}

func (f *faults) backend(c Config, p PoolConfig, pool string, j int, b BackendConfig) {
	at := fmt.Sprintf("%s.backend[%d]", pool, j)
	if b.Name != "" {
		f.name(at+".name", b.Name)
	}
	oneOf(f, at+".role", b.Role, "", "leader", "follower", "observer")
	f.count(at+".weight", b.Weight, 0, maxWeight)
	f.count(at+".max_sessions", b.MaxSessions, 0, most)
	if b.Address == "" {
		f.add(at+".address", "the backend has no address", `add address = "host:9030"`)
		return
	}
	host, port, message, suggestion := splitAddress(b.Address)
	if message != "" {
		f.add(at+".address", message, suggestion)
		return
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && b.Expand {
		f.add(at+".expand", fmt.Sprintf("expand needs a host name, and %s is an IP address", host), "remove expand")
	}
	if err == nil && p.Source.IsValid() && p.Source.Unmap().Is4() != ip.Unmap().Is4() {
		f.conflict(at+".address", pool+".source",
			fmt.Sprintf("%s can't be reached from source %v: one is IPv4, the other IPv6", b.Address, p.Source), "")
	}
	f.loop(c, at+".address", host, port)
}

// loop finds a backend that is the balancer itself: each session would open another one, without end.
func (f *faults) loop(c Config, path, host string, port int) {
	ip, err := netip.ParseAddr(host)
	local := err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
	for i, l := range c.Listeners {
		for j, bind := range l.Bind {
			same := err == nil && bind.Addr().Unmap() == ip.Unmap()
			covered := local && (bind.Addr().IsUnspecified() || err != nil && bind.Addr().IsLoopback())
			if int(bind.Port()) == port && (same || covered) {
				f.conflict(path, fmt.Sprintf("listener[%d].bind[%d]", i, j),
					fmt.Sprintf("the backend is listener %q itself, at %v", l.Name, bind),
					"give the listener or the backend another port")
				return
			}
		}
	}
}

// twins finds backends of one pool that share an address or a name: they would share their counts too.
func (f *faults) twins(at string, backends []BackendConfig) {
	names, addresses := map[string]int{}, map[string]int{}
	for i, b := range backends {
		path := func(i int, key string) string { return fmt.Sprintf("%s.backend[%d].%s", at, i, key) }
		if b.Address == "" {
			continue
		}
		address := strings.ToLower(b.Address)
		if j, ok := addresses[address]; ok {
			f.conflict(path(i, "address"), path(j, "address"),
				fmt.Sprintf("the pool has a second backend with address %q", b.Address), "use weight to give a backend a greater share")
			continue
		}
		addresses[address] = i
		name, from := b.Name, "name"
		if name == "" {
			name, from = b.Address, "address"
		}
		if j, ok := names[name]; ok {
			f.conflict(path(i, from), path(j, "name"), fmt.Sprintf("the pool has a second backend named %q", name), "names must differ")
			continue
		}
		names[name] = i
	}
}
