package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"fairlead/balancer"
	"fairlead/internal/spelling"
	"fairlead/probe"
)

// Types of discovery, for [Discovery.Type].
const (
	// StarRocks asks backends, as seeds, by SHOW FRONTENDS; it goes for Apache Doris too.
	StarRocks = "starrocks"
	// DNS takes each address of a name for a backend. It is another way to write a backend with expand = true, and Balancer
	// has it as one.
	DNS = "dns"
)

// Discovery is how the members of a pool are found.
type Discovery struct {
	// Type is StarRocks, DNS or, for none, empty.
	Type string
	// Seeds says how backends are asked, with StarRocks: Interval, Timeout, User, PasswordFile, TLS and Source.
	Seeds probe.Config
	// Name is the host:port whose addresses are the members, with DNS.
	Name string
}

// mostMinimum is more members than any cluster has.
const mostMinimum = 1000

// decodeDiscovery reads [pool.discovery] in a pool's section, and lets the pool have what follows from it.
func decodeDiscovery(in *section, byDefault Discovery, pool *balancer.PoolConfig, health probe.Config) Discovery {
	s, c := in.table("discovery"), byDefault
	c.Type = s.choice("type", c.Type, StarRocks, DNS)
	c.Name = s.text("name", c.Name)
	c.Seeds.SendProxy = announced(*pool)
	c.Seeds.User = s.text("user", c.Seeds.User)
	c.Seeds.PasswordFile = s.file("password_file")
	c.Seeds.TLS = s.tls("tls", c.Seeds.TLS)
	c.Seeds.Interval = s.duration("interval", c.Seeds.Interval)
	c.Seeds.Timeout = s.duration("timeout", c.Seeds.Timeout)
	minimum := s.number("minimum", 1)
	switch {
	case s.doc.isBlamed(s.child("type")):
		pool.LearnsRoles = true // nobody can tell
		return Discovery{}
	case c.Type == StarRocks:
		s.discoverBySeeds(in, c, pool)
		pool.LearnsRoles, pool.Discovered = true, true
		if c.Seeds.TLS == "" && health.User != "" {
			c.Seeds.TLS = health.TLS
		}
		c.Seeds.Source = health.Source
	case c.Type == DNS:
		s.discoverByName(in, c, pool)
	default:
		if !s.has("type") && len(s.values) > 0 {
			s.problem("type", s.header+" has no type", `add type = "starrocks" or type = "dns"`)
		}
		return Discovery{}
	}
	s.between("interval", c.Seeds.Interval, shortest, longest)
	s.between("timeout", c.Seeds.Timeout, shortest, longest)
	if minimum < 1 || minimum > mostMinimum {
		s.problem("minimum", fmt.Sprintf("minimum must be from 1 to %d, not %d", mostMinimum, minimum), "")
		minimum = 1
	}
	pool.Minimum = minimum
	return c
}

// discoverBySeeds checks what SHOW FRONTENDS needs.
func (s *section) discoverBySeeds(in *section, c Discovery, pool *balancer.PoolConfig) {
	if c.Seeds.User == "" && !s.doc.isBlamed(s.child("user")) {
		s.problem("user", `type "starrocks" needs user: nobody can ask for front ends without logging in`,
			`add user = "…", with the privilege OPERATE on StarRocks or ADMIN_PRIV on Doris`)
	}
	if backends := in.child("backend"); len(pool.Backends) == 0 && !s.doc.isBlamed(backends) {
		s.problem("type", `type "starrocks" needs a front end to ask first`, `add [[pool.backend]] with address = "host:9030"`)
		s.doc.blame(backends)
	}
	if pool.Protocol == balancer.TCP {
		s.problem("type", `type "starrocks" finds MySQL ports, and the pool's protocol is tcp`, `set protocol = "mysql"`)
	}
	s.meaningless(c, "name")
}

// discoverByName makes the name a backend that is expanded.
func (s *section) discoverByName(in *section, c Discovery, pool *balancer.PoolConfig) {
	s.meaningless(c, "user", "password_file", "tls", "timeout")
	if s.has("interval") && c.Seeds.Interval >= shortest && c.Seeds.Interval <= longest {
		if in.has("resolve_interval") && pool.ResolveInterval != c.Seeds.Interval {
			s.problem("interval", "interval and the pool's resolve_interval differ, and here they mean the same", "remove one of them")
		}
		pool.ResolveInterval = c.Seeds.Interval
	}
	b := Default().Backend
	b.Address, b.Expand = c.Name, true
	pool.Backends = append(pool.Backends, b)
	at := fmt.Sprintf("%s[%d]", in.child("backend"), len(pool.Backends)-1)
	for _, key := range []string{"", ".address", ".expand"} {
		s.doc.moved[at+key] = s.at.key("name").line
	}
	host, _, _ := net.SplitHostPort(c.Name)
	ip, err := netip.ParseAddr(host)
	switch {
	case s.doc.isBlamed(s.child("name")):
	case c.Name == "":
		s.problem("name", `type "dns" needs name: the host name whose addresses are the backends`, `add name = "fe-search.default.svc:9030"`)
	case err == nil:
		s.problem("name", fmt.Sprintf("name must hold a host name, and %s is an IP address", ip), "write it as [[pool.backend]]")
	default:
		return
	}
	s.doc.blame(at + ".address")
	s.doc.blame(at + ".expand")
}

// meaningless reports keys that don't go with the type.
func (s *section) meaningless(c Discovery, keys ...string) {
	for _, key := range keys {
		if v := s.values[key]; v != nil && v != "" {
			s.problem(key, fmt.Sprintf("%s has no meaning with type %q", key, c.Type), "remove it")
		}
	}
}

// learnable tells whether anybody or anything can say that a backend of a pool has a role.
func learnable(pool balancer.PoolConfig, d Discovery, role balancer.Role) bool {
	return d.Type == StarRocks || role == balancer.Leader && pool.LearnsRoles ||
		slices.ContainsFunc(pool.Backends, func(b balancer.BackendConfig) bool { return b.Role == string(role) })
}

// roles checks listeners that ask for more than metrics can tell; for the rest see balancer's Validate.
func (d *document) roles(f *File) {
	for i, l := range f.Balancer.Listeners {
		for p, pool := range f.Balancer.Pools {
			if pool.Name != l.Pool || !pool.LearnsRoles || d.isBlamed(fmt.Sprintf("pool[%d].discovery", p)) {
				continue
			}
			for k, role := range l.Roles {
				if path := fmt.Sprintf("listener[%d].roles[%d]", i, k); !learnable(pool, f.Discoveries[pool.Name], role) && !d.isBlamed(path) {
					d.problem(path, fmt.Sprintf("no backend of pool %q can have the role %q: leader_from_metrics only tells who leads", pool.Name, role),
						`give backends a role, or add [pool.discovery] with type = "starrocks"`)
				}
			}
		}
	}
}

// roles reads the roles that a listener wants: a string or a list.
func (s *section) roles(key string) []balancer.Role {
	known := []string{string(balancer.Leader), string(balancer.Follower), string(balancer.Observer)}
	var list []balancer.Role
	for i, e := range s.texts(key, "") {
		if !slices.Contains(known, e.text) {
			suggestion := "known: leader, follower, observer"
			if near := spelling.Nearest(e.text, known); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			s.doc.at(e.line, fmt.Sprintf("unknown role %q", e.text), suggestion)
			s.doc.blame(fmt.Sprintf("%s[%d]", s.child(key), i))
		}
		list = append(list, balancer.Role(e.text))
	}
	return list
}
