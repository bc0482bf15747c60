package daemon

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
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
	cancel context.CancelFunc // cuts off what a list has set going; nil before start

	mu      sync.Mutex
	running []*probe.Discovery
}

// start begins to ask, and waits for the first answers, but not for long.
func (s *discoveries) start(d *Daemon) {
	ctx, cancel := context.WithCancel(context.Background())
	s.mu.Lock()
	s.cancel = cancel
	for _, p := range d.balancer.Pools() {
		c := d.file.Discoveries[p.Name()]
		if c.Type != config.StarRocks {
			continue // names are looked up by the balancer
		}
		kin := &kin{ctx: ctx, pool: p, lookup: net.DefaultResolver.LookupNetIP}
		s.running = append(s.running, probe.StartDiscovery(probe.DiscoveryOptions{
			Pool:    p.Name(),
			Config:  c.Seeds,
			Seeds:   kin.seeds(),
			Found:   func(l probe.Listing) error { return d.balancer.Discovered(p.Name(), kin.members(l.Frontends)) },
			Log:     d.log,
			Metrics: d.metrics,
		}))
	}
	running := slices.Clone(s.running)
	s.mu.Unlock()
	enough := time.After(firstDiscovery)
	for _, one := range running {
		select {
		case <-one.First():
		case <-enough:
			return
		}
	}
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

// kin knows which listed front ends are configured, perhaps under another name: a cluster may list by their IP addresses
// those that are configured by their host names. Such a one keeps its name, its weight and its cap.
type kin struct {
	ctx    context.Context
	pool   *balancer.Pool
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// seeds are the configured backends.
func (k *kin) seeds() []string {
	var all []string
	for _, b := range k.pool.Config().Backends {
		all = append(all, b.Address)
	}
	return all
}

// members are the front ends of a list, by the addresses that the pool knows them by.
func (k *kin) members(list []probe.Frontend) []balancer.Found {
	listed := map[string]string{} // as they are configured, or empty
	for _, f := range list {
		listed[f.Address()] = ""
	}
	k.recognise(listed)
	var all []balancer.Found
	for _, f := range list {
		address := f.Address()
		if configured := listed[address]; configured != "" {
			address = configured
		}
		all = append(all, balancer.Found{Address: address, Role: balancer.Role(f.Role)})
	}
	return all
}

// recognise notes for each listed address the backend that is configured for it. A name that could stand for several of
// them stands for none.
func (k *kin) recognise(listed map[string]string) {
	ctx, cancel := context.WithTimeout(k.ctx, nameLookup)
	defer cancel()
	for _, b := range k.pool.Config().Backends {
		if b.Expand {
			continue
		}
		var meant []string
		for _, address := range k.addresses(ctx, b.Address, listed) {
			if _, ok := listed[address]; ok {
				meant = append(meant, address)
			}
		}
		if len(meant) == 1 && listed[meant[0]] == "" {
			listed[meant[0]] = b.Address
		}
	}
}

// addresses are those by which a configured backend may be listed: as it is configured, else as the pool has resolved its
// name, else, if it is no member now, by a look-up.
func (k *kin) addresses(ctx context.Context, configured string, listed map[string]string) []string {
	host, port, _ := net.SplitHostPort(configured)
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{net.JoinHostPort(ip.Unmap().String(), port)}
	}
	if _, ok := listed[strings.ToLower(configured)]; ok {
		return []string{strings.ToLower(configured)}
	}
	var all []string
	for _, b := range k.pool.Backends() {
		if b.Config().Address == configured {
			for _, address := range b.Addresses() {
				all = append(all, address.String())
			}
		}
	}
	if len(all) > 0 {
		return all
	}
	found, _ := k.lookup(ctx, "ip", host) // what can't be found now may be with the next list
	for _, ip := range found {
		all = append(all, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return all
}
