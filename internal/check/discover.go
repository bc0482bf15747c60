package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/discovery"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

// Discovered is what a pool's discovery finds now.
type Discovered struct {
	Pool string `json:"pool"`
	// Type is the discovery's, see [config.Discovery].
	Type string `json:"type"`
	// Seed is the backend that has answered, or, with DNS, the name; empty when there is no list to be used.
	Seed    string   `json:"seed,omitempty"`
	Members []Member `json:"members"`
	// Reasons tells why there is none, for each seed.
	Reasons []string `json:"reasons,omitempty"`
}

// Good tells whether there is a list to be used.
func (d Discovered) Good() bool { return len(d.Reasons) == 0 }

// Member is one backend that would be used.
type Member struct {
	// Name is the cluster's own, Address host:port.
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
	// Configured is the address that it is configured with; empty when it is not.
	Configured string              `json:"configured,omitempty"`
	Role       balancer.Role       `json:"role,omitempty"`
	RoleFrom   balancer.RoleSource `json:"role_from,omitempty"`
	// Alive is the cluster's word; nil when it was not asked.
	Alive   *bool  `json:"alive,omitempty"`
	Version string `json:"version,omitempty"`
	// Listeners lead there; Fallback has those that do only while none with their roles is up.
	Listeners []string `json:"listeners"`
	Fallback  []string `json:"fallback,omitempty"`

	listed balancer.Role
}

// Discover asks, once, who the members of the pools with discovery are, or of one of them. It changes nothing.
func Discover(ctx context.Context, f *config.File, pool string) []Discovered {
	var all []Discovered
	for _, p := range f.Balancer.Pools {
		if f.Discoveries[p.Name].Type != "" && (pool == "" || pool == p.Name) {
			all = append(all, discover(ctx, f, p))
		}
	}
	return all
}

// discover asks for the members of one pool.
func discover(ctx context.Context, f *config.File, pool balancer.PoolConfig) Discovered {
	c := f.Discoveries[pool.Name]
	d := Discovered{Pool: pool.Name, Type: c.Type, Members: []Member{}}
	if c.Type == config.DNS {
		d.byName(ctx, c.Name, pool)
	} else {
		d.bySeeds(ctx, c.Seeds, pool)
	}
	for i := range d.Members {
		d.Members[i].led(f, pool)
	}
	return d
}

// tooFew is why a list is not believed, as the balancer sees it.
func tooFew(n int, pool balancer.PoolConfig) error {
	if n >= pool.Minimum {
		return nil
	}
	return fmt.Errorf("%w: %d of at least %d", balancer.ErrTooFew, n, pool.Minimum)
}

func (d *Discovered) bySeeds(ctx context.Context, c probe.Config, pool balancer.PoolConfig) {
	var seeds []string
	for _, b := range pool.Backends {
		seeds = append(seeds, b.Address)
	}
	listing, err := probe.ListFrontends(ctx, c, seeds, func(l probe.Listing) error { return tooFew(len(l.Frontends), pool) })
	var none probe.SeedErrors
	switch {
	case errors.As(err, &none):
		for _, one := range none {
			d.Reasons = append(d.Reasons, strings.TrimPrefix(one.Error(), "probe: "))
		}
		return
	case err != nil:
		d.Reasons = []string{err.Error()}
		return
	}
	d.Seed = listing.Seed
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	configured := discovery.Kin{Lookup: net.DefaultResolver.LookupNetIP}.Configured(ctx, pool.Backends, listing.Frontends)
	for i, fe := range listing.Frontends {
		d.Members = append(d.Members, Member{Name: fe.Name, Address: fe.Address(), Configured: configured[i], Alive: &fe.Alive,
			Version: fe.Version, listed: balancer.Role(fe.Role)})
	}
}

func (d *Discovered) byName(ctx context.Context, name string, pool balancer.PoolConfig) {
	_, addresses, err := resolve(ctx, name)
	if err == nil {
		err = tooFew(len(addresses), pool)
	}
	if err != nil {
		d.Reasons = []string{name + ": " + err.Error()}
		return
	}
	d.Seed = name
	for _, a := range addresses {
		d.Members = append(d.Members, Member{Address: a.String(), Configured: name})
	}
}

// led finds out who leads to a member.
func (m *Member) led(f *config.File, pool balancer.PoolConfig) {
	at := slices.IndexFunc(pool.Backends, func(b balancer.BackendConfig) bool { return b.Address == m.Configured })
	b := balancer.BackendConfig{Weight: 1}
	if at >= 0 {
		b = pool.Backends[at]
	}
	role := Finding{}.as(balancer.Role(b.Role), m.listed, "", false)
	m.Role, m.RoleFrom, m.Listeners = role.Role, role.RoleFrom, []string{}
	for _, l := range f.Balancer.Listeners {
		routed := slices.ContainsFunc(l.Routes, func(r balancer.RouteConfig) bool { return r.Pool == pool.Name })
		switch {
		case b.Weight == 0:
		case routed, l.Pool == pool.Name && (len(l.Roles) == 0 || slices.Contains(l.Roles, m.Role)):
			m.Listeners = append(m.Listeners, l.Name)
		case l.Pool == pool.Name && l.RolesFallback:
			m.Fallback = append(m.Fallback, l.Name)
		}
	}
}

// listeners tells people who leads to a member.
func (m Member) listeners() terminal.Cell {
	all := slices.Clone(m.Listeners)
	for _, name := range m.Fallback {
		all = append(all, name+" (fallback)")
	}
	if len(all) == 0 {
		return terminal.Cell{Text: "none", Colour: terminal.Yellow}
	}
	return terminal.Cell{Text: strings.Join(all, ", ")}
}
