package balancer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// roster keeps a pool's members in step with what is wanted: what the configuration lists, until discovery has
// found what there is. Where discovery finds a configured backend it keeps its weight, its cap and its name.
type roster struct {
	pool   *Pool
	lookup lookup

	mu struct {
		sync.Mutex
		entries []*entry
		ctx     context.Context         // of the resolvers, once started
		found   []Found                 // by discovery; nil until it has found something
		looked  map[string][]netip.Addr // names that a reload has looked up already, with their addresses
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
	gone, err := r.join(wanted, unproven)
	r.leave(gone)
	return err
}

// reload is the first half of set for a pool's new configuration, which is in force already. The other half is leave.
// looked has addresses of names that are new.
func (r *roster) reload(looked map[string][]netip.Addr) (gone []*entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := r.pool.Config()
	if !config.Discovered {
		r.mu.found = nil
	}
	r.mu.looked = looked
	defer func() { r.mu.looked = nil }()
	gone, err = r.join(config.wanted(r.mu.found), false)
	for _, e := range r.mu.entries {
		e.configure(r.pool) // what they have from the pool may have changed
		if e.resolver != nil {
			e.resolver.lookNow()
		}
	}
	r.pool.forgetRoles()
	r.pool.setRoles(rolesOf(r.mu.found))
	return gone, err
}

// join brings the pool's members up to what is wanted, other than that those leave that are not any more: they are
// returned.
func (r *roster) join(wanted []BackendConfig, unproven bool) (gone []*entry, err error) {
	old := map[string]*entry{}
	for _, e := range r.mu.entries {
		old[e.config.key()] = e
	}
	var next, fresh []*entry
	for _, c := range wanted {
		e := old[c.key()]
		delete(old, c.key())
		if e == nil {
			if e, err = r.admit(c, unproven); err != nil {
				return nil, err
			}
			fresh = append(fresh, e)
		} else if e.config != c {
			e.config = c
			e.configure(r.pool)
		}
		next = append(next, e)
	}
	r.mu.entries = next
	for _, e := range old {
		gone = append(gone, e)
	}
	for _, e := range fresh {
		for _, b := range e.backends() {
			r.pool.succeed(b, gone)
		}
	}
	return gone, nil
}

// leave is the end of those that join has returned.
func (r *roster) leave(gone []*entry) {
	for _, e := range gone {
		e.leave(r.pool)
	}
}

// admit makes a wanted backend a member, or sets out to look up who the members are.
func (r *roster) admit(c BackendConfig, unproven bool) (*entry, error) {
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
	e.resolver = &resolver{pool: r.pool, config: c, host: host, port: uint16(port), lookup: r.lookup, unproven: unproven,
		hurry: make(chan struct{}, 1)}
	known := e.resolver.addresses(r.mu.looked[host])
	if c.Expand {
		e.resolver.members = map[netip.AddrPort]*Backend{}
		e.resolver.expand(known)
	} else {
		e.backend = r.pool.add(c, name, host, slices.Clone(known), unproven)
		e.resolver.backend = e.backend
	}
	e.resolver.known = known
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

// backends are the members of an entry.
func (e *entry) backends() []*Backend {
	if e.backend != nil {
		return []*Backend{e.backend}
	}
	return e.resolver.backends()
}

// leave takes the members of an entry out of the pool; their sessions go on.
func (e *entry) leave(p *Pool) {
	if e.stop != nil {
		e.stop()
		<-e.stopped
	}
	for _, b := range e.backends() {
		p.remove(b)
	}
}
