package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// Found is a backend that discovery has found. Its role is the cluster's word.
type Found struct {
	// Address is host:port; the host is an IP address or a name.
	Address string
	Role    Role
}

// roster keeps a pool's members in step with what is wanted: what the configuration lists, until discovery has
// found what there is. Where discovery finds a configured backend it keeps its weight, its cap and its name.
type roster struct {
	pool   *Pool
	lookup lookup

	mu struct {
		sync.Mutex
		entries []*entry
		ctx     context.Context // of the resolvers, once started
	}
	running sync.WaitGroup
}

// entry is one wanted backend: a member of the pool, or a name that stands for as many as it has addresses.
type entry struct {
	config   BackendConfig
	backend  *Backend  // nil with Expand
	resolver *resolver // nil without a name to look up
	stop     context.CancelFunc
	stopped  chan struct{}
}

// key is what an entry is known by: a change of anything in it makes another backend of it.
func (c BackendConfig) key() string {
	return fmt.Sprintf("%s\x00%s\x00%v", strings.ToLower(c.Address), c.Name, c.Expand)
}

// set makes the pool's members what is wanted: first the new ones join, then the others leave. unproven is for backends
// that nobody has vouched for: they take no sessions before a probe has succeeded. With an error nothing has changed but
// that some of the new ones may have joined.
func (r *roster) set(wanted []BackendConfig, unproven bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := map[string]*entry{}
	for _, e := range r.mu.entries {
		old[e.config.key()] = e
	}
	var next []*entry
	for _, c := range wanted {
		e := old[c.key()]
		delete(old, c.key())
		if e == nil {
			made, err := r.join(c, unproven)
			if err != nil {
				return err
			}
			e = made
		} else if e.config != c {
			e.config = c
			e.configure(r.pool)
		}
		next = append(next, e)
	}
	r.mu.entries = next
	for _, e := range old {
		e.leave(r.pool)
	}
	return nil
}

// join makes a wanted backend a member, or sets out to look up who the members are.
func (r *roster) join(c BackendConfig, unproven bool) (*entry, error) {
	host, digits, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("balancer: backend %q: %w", c.Address, err)
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("balancer: backend %q: port: %w", c.Address, err)
	}
	e := &entry{config: c}
	name := c.Name
	if name == "" {
		name = c.Address
	}
	if address, err := netip.ParseAddr(host); err == nil {
		e.backend = r.pool.add(c, name, host, []netip.AddrPort{netip.AddrPortFrom(address.Unmap(), uint16(port))}, unproven)
		return e, nil
	}
	e.resolver = &resolver{pool: r.pool, config: c, host: host, port: uint16(port), lookup: r.lookup, unproven: unproven}
	if c.Expand {
		e.resolver.members = map[netip.AddrPort]*Backend{}
	} else {
		e.backend = r.pool.add(c, name, host, nil, unproven)
		e.resolver.backend = e.backend
	}
	if r.mu.ctx != nil {
		r.run(e, nil)
	}
	return e, nil
}

// start begins to look up names; first hears of each first look-up, and the number of them is returned.
func (r *roster) start(ctx context.Context, first chan<- struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.ctx = ctx
	for _, e := range r.mu.entries {
		if e.resolver != nil {
			r.run(e, first)
		}
	}
}

func (r *roster) run(e *entry, first chan<- struct{}) {
	ctx, cancel := context.WithCancel(r.mu.ctx)
	e.stop, e.stopped = cancel, make(chan struct{})
	r.running.Go(func() {
		defer close(e.stopped)
		e.resolver.run(ctx, first)
	})
}

// names counts what has to be looked up.
func (r *roster) names() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.mu.entries {
		if e.resolver != nil {
			n++
		}
	}
	return n
}

// status tells how the look-ups go.
func (r *roster) status() []NameStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []NameStatus
	for _, e := range r.mu.entries {
		if e.resolver != nil {
			all = append(all, e.resolver.status())
		}
	}
	return all
}

// configure brings the members of an entry up to its configuration.
func (e *entry) configure(p *Pool) {
	if e.backend != nil {
		p.reconfigure(e.backend, e.config)
	}
	if e.resolver != nil {
		e.resolver.configure(e.config)
	}
}

// leave takes the members of an entry out of the pool; their sessions go on.
func (e *entry) leave(p *Pool) {
	if e.stop != nil {
		e.stop()
		<-e.stopped
	}
	if e.backend != nil {
		p.remove(e.backend)
	}
	if e.resolver != nil {
		for _, b := range e.resolver.members {
			p.remove(b)
		}
	}
}

// ErrTooFew is a list of members that is shorter than the pool's minimum, and not believed.
var ErrTooFew = errors.New("balancer: discovery has found too few backends")

// minimum is the fewest members that discovery may leave.
func (c PoolConfig) minimum() int { return max(1, c.Minimum) }

// Discovered makes the members of a pool those that discovery has found. Those that are new take sessions once a probe
// has succeeded; those that have gone keep the sessions that they have. An error changes nothing.
func (b *Balancer) Discovered(pool string, found []Found) error {
	p := b.Pool(pool)
	if p == nil {
		return fmt.Errorf("balancer: no pool %q", pool)
	}
	config := p.Config()
	if len(found) < config.minimum() {
		return fmt.Errorf("%w: %d of at least %d in pool %q", ErrTooFew, len(found), config.minimum(), pool)
	}
	configured := map[string]BackendConfig{}
	for _, c := range config.Backends {
		configured[strings.ToLower(c.Address)] = c
	}
	wanted := make([]BackendConfig, len(found))
	roles := map[string]Role{}
	for i, f := range found {
		c, ok := configured[strings.ToLower(f.Address)]
		if !ok {
			c = BackendConfig{Address: f.Address, Weight: 1}
		}
		wanted[i], roles[strings.ToLower(f.Address)] = c, f.Role
	}
	if err := p.roster.set(wanted, true); err != nil {
		return err
	}
	p.setRoles(roles)
	return nil
}
