package daemon

import (
	"context"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/discovery"
	"fairlead/probe"
)

const (
	// firstDiscovery is how long a start waits for the lists of clusters, so that the first client of a listener with roles
	// finds somebody: a cluster that is well answers within that time, and one that is not must not keep other pools from
	// serving.
	firstDiscovery = 2 * time.Second
	// nameLookup bounds the look-ups of configured names for one list: they only keep names and weights.
	nameLookup = time.Second
)

// discoveries are those of all pools that ask their cluster.
type discoveries struct {
	ctx    context.Context
	cancel context.CancelFunc // cuts off what a list has set going; nil before start

	mu      sync.Mutex
	running []*asking
}

// asking is the discovery of one pool.
type asking struct {
	*probe.Discovery
	pool   *balancer.Pool
	config config.Discovery
	seeds  []string // as configured
}

// start begins to ask, and waits for the first answers, but not for long.
func (s *discoveries) start(d *Daemon) {
	s.mu.Lock()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Unlock()
	s.follow(d)
}

// follow brings the asking up to the configuration: what is as it was goes on, and what is new begins, with a moment for
// its first answer.
func (s *discoveries) follow(d *Daemon) {
	s.mu.Lock()
	was := s.running
	s.running = nil
	var fresh []*asking
	for _, p := range d.balancer.Pools() {
		c := d.file().Discoveries[p.Name()]
		if c.Type != config.StarRocks {
			continue // names are looked up by the balancer
		}
		wanted := &asking{pool: p, config: c, seeds: newCluster(s.ctx, p).seeds()}
		if i := slices.IndexFunc(was, wanted.same); i >= 0 {
			wanted = was[i]
			was = slices.Delete(slices.Clone(was), i, i+1)
		} else {
			wanted.begin(s.ctx, d)
			fresh = append(fresh, wanted)
		}
		s.running = append(s.running, wanted)
	}
	now := slices.Clone(s.running)
	s.mu.Unlock()
	for _, old := range was {
		old.Close()
		if !slices.ContainsFunc(now, func(a *asking) bool { return a.pool.Name() == old.pool.Name() }) {
			d.metrics.RemoveDiscovery(old.pool.Name())
		}
	}
	enough := time.After(firstDiscovery)
	for _, one := range fresh {
		select {
		case <-one.First():
		case <-enough:
			return
		}
	}
}

// same tells whether a discovery that runs asks what this one would ask.
func (a *asking) same(running *asking) bool {
	return a.pool == running.pool && reflect.DeepEqual(a.config, running.config) && slices.Equal(a.seeds, running.seeds)
}

// begin begins to ask. Members that are known are asked as well: of those that are configured none may be left.
func (a *asking) begin(ctx context.Context, d *Daemon) {
	asked, name := newCluster(ctx, a.pool), a.pool.Name()
	seeds := slices.Clone(a.seeds)
	for _, b := range a.pool.Backends() {
		seeds = append(seeds, b.Config().Address)
	}
	a.Discovery = probe.StartDiscovery(probe.DiscoveryOptions{
		Pool:    name,
		Config:  a.config.Seeds,
		Seeds:   seeds,
		Found:   func(l probe.Listing) error { return d.balancer.Discovered(name, asked.members(l.Frontends)) },
		Log:     d.log,
		Metrics: d.metrics,
	})
}

// health tells how the asking goes.
func (s *discoveries) health() []probe.DiscoveryHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []probe.DiscoveryHealth
	for _, one := range s.running {
		all = append(all, one.Health())
	}
	return all
}

// close ends the asking and waits for its end.
func (s *discoveries) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancel != nil {
		s.cancel()
	}
	for _, one := range s.running {
		one.Close()
	}
	s.running = nil
}

// cluster is one that is asked for the members of a pool.
type cluster struct {
	ctx  context.Context // of look-ups
	pool *balancer.Pool
	kin  discovery.Kin
}

func newCluster(ctx context.Context, p *balancer.Pool) *cluster {
	c := &cluster{ctx: ctx, pool: p}
	c.kin = discovery.Kin{Lookup: net.DefaultResolver.LookupNetIP, Resolved: c.resolved}
	return c
}

// resolved are the addresses of a member.
func (c *cluster) resolved(configured string) []netip.AddrPort {
	for _, b := range c.pool.Backends() {
		if b.Config().Address == configured {
			return b.Addresses()
		}
	}
	return nil
}

// seeds are the configured backends.
func (c *cluster) seeds() []string {
	var all []string
	for _, b := range c.pool.Config().Backends {
		all = append(all, b.Address)
	}
	return all
}

// members are the front ends of a list, by the addresses that the pool knows them by: those that are configured keep
// their names, weights and caps.
func (c *cluster) members(list []probe.Frontend) []balancer.Found {
	ctx, cancel := context.WithTimeout(c.ctx, nameLookup)
	defer cancel()
	configured := c.kin.Configured(ctx, c.pool.Config().Backends, list)
	all := make([]balancer.Found, len(list))
	for i, f := range list {
		all[i] = balancer.Found{Address: f.Address(), Role: balancer.Role(f.Role)}
		if configured[i] != "" {
			all[i].Address = configured[i]
		}
	}
	return all
}
