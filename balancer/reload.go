package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// ErrClosing is a reload of a balancer that does not serve: it has not started yet, or is shutting down.
var ErrClosing = errors.New("balancer: not serving: starting or shutting down")

// Reload is a new configuration that is ready to be served: it is valid, its new names have been looked up, and its new
// addresses are listened on, although nobody is let in yet. Apply puts it in force, Cancel gives it up; one of them must be
// called, for until then nothing else can reload or end the balancer.
//
// What the two configurations have in common is kept: a listener by its name, with its counts; a listening socket by its
// address; a pool by its name; a backend by its name and address, with its state, what a person has ordered for it, its
// counts and its sessions. What is gone takes no new sessions, and those that it has go on. Sessions keep the settings that
// they have begun with. Engine is not reloaded.
type Reload struct {
	balancer *Balancer
	config   Config
	looked   map[string][]netip.Addr
	doors    doorPlan
	over     bool
}

// Prepare makes a new configuration ready. With an error nothing has changed: ConfigError, *ListenError, *LookupError,
// ErrClosing.
func (b *Balancer) Prepare(ctx context.Context, config Config) (*Reload, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	b.changing.Lock()
	r, err := b.prepare(ctx, config)
	if err != nil {
		b.changing.Unlock()
		return nil, err
	}
	return r, nil
}

func (b *Balancer) prepare(ctx context.Context, config Config) (*Reload, error) {
	if b.closing || !b.ready.Load() {
		return nil, ErrClosing
	}
	looked, err := b.lookAhead(ctx, config)
	if err != nil {
		return nil, err
	}
	doors, err := b.openDoors(config.Listeners, b.now().listeners)
	if err != nil {
		return nil, err
	}
	return &Reload{balancer: b, config: config, looked: looked, doors: doors}, nil
}

// Cancel leaves everything as it was. After Apply it does nothing.
func (r *Reload) Cancel() {
	if r.over {
		return
	}
	r.over = true
	for _, d := range r.doors.fresh {
		d.acceptor.Close()
	}
	r.balancer.changing.Unlock()
}

// Apply puts the configuration in force.
func (r *Reload) Apply() {
	if r.over {
		return
	}
	r.over = true
	b, was := r.balancer, r.balancer.now()
	defer b.changing.Unlock()
	next := &served{}
	targets, leave := r.applyPools(was, next)
	r.applyListeners(was, next, targets)
	b.served.Store(next)
	for i, l := range next.listeners {
		l.serveAt(r.doors.wanted[i])
	}
	b.closeUnwanted(r.doors)
	leave()
	b.clearNow()
}

// applyPools makes the pools of the new configuration. leave is the end of the members that are not in it any more.
func (r *Reload) applyPools(was, next *served) (targets map[string]target, leave func()) {
	b, before := r.balancer, map[string]*Pool{}
	for _, p := range was.allPools() {
		before[p.name] = p
	}
	targets = map[string]target{}
	var leaving []func()
	for _, c := range r.config.Pools {
		p := before[c.Name]
		delete(before, c.Name)
		if p == nil {
			p = b.newPool(c)
			p.roster.start(b.chores.ctx, nil)
		}
		p.configure(c)
		gone, err := p.roster.reload(r.looked)
		if err != nil { // can't be: the configuration is valid
			b.log.Error("a pool could not be brought up to date", "pool", p.name, "error", err)
		}
		leaving = append(leaving, func() { p.roster.leave(gone) })
		targets[c.Name] = p.target()
		next.pools = append(next.pools, p)
	}
	for _, p := range was.allPools() {
		if before[p.name] == p {
			next.pastPools = append(next.pastPools, p)
		}
	}
	return targets, func() {
		for _, l := range leaving {
			l()
		}
	}
}

// applyListeners gives the listeners of the new configuration their terms.
func (r *Reload) applyListeners(was, next *served, targets map[string]target) {
	b, before := r.balancer, map[string]*Listener{}
	for _, l := range slices.Concat(was.listeners, was.pastListeners) {
		before[l.name] = l
	}
	for _, c := range r.config.Listeners {
		l := before[c.Name]
		delete(before, c.Name)
		if l == nil {
			l = b.newListener(c.Name)
		}
		l.gate.configure(c.Gate)
		fresh, present := newTerms(c, targets), l.terms.Load()
		if present == nil || !present.same(fresh) {
			l.terms.Store(fresh)
			if present != nil {
				b.outgoing = append(b.outgoing, present)
			}
		}
		next.listeners = append(next.listeners, l)
	}
	for _, l := range slices.Concat(was.listeners, was.pastListeners) {
		if before[l.name] == l {
			next.pastListeners = append(next.pastListeners, l)
			l.mu.Lock()
			l.mu.doors = nil
			l.mu.Unlock()
			if slices.Contains(was.listeners, l) {
				b.outgoing = append(b.outgoing, l.terms.Load())
				b.log.Info("listener removed", "listener", l.name, "sessions", l.sessions.Load())
			}
		}
	}
}

// clear clears away what reloads have left behind, unless one is under way.
func (b *Balancer) clear() {
	if b.changing.TryLock() {
		defer b.changing.Unlock()
		b.closeDisplaced()
		b.clearNow()
	}
}

// clearNow clears away the listeners and pools that are not configured any more, once nobody needs them: sessions that are
// being set up may still be led to such a pool, and after them the last session has to end.
func (b *Balancer) clearNow() {
	b.outgoing = slices.DeleteFunc(b.outgoing, func(t *terms) bool { return t.settingUp.Load() == 0 })
	now := b.now()
	if len(now.pastListeners)+len(now.pastPools) == 0 || b.closing {
		return
	}
	next := *now
	next.pastListeners = slices.DeleteFunc(slices.Clone(now.pastListeners), func(l *Listener) bool {
		over := l.terms.Load().settingUp.Load() == 0 && l.sessions.Load() == 0
		if over {
			b.metrics.RemoveListener(l.name)
		}
		return over
	})
	next.pastPools = slices.DeleteFunc(slices.Clone(now.pastPools), func(p *Pool) bool {
		return !slices.ContainsFunc(b.outgoing, func(t *terms) bool { return t.leadsTo(p) }) && p.empty()
	})
	b.served.Store(&next)
}

// empty removes all members, and tells whether no session is left on any of them; the pool's own series end then.
func (p *Pool) empty() bool {
	_ = p.roster.set(nil, false)
	p.mu.Lock()
	left := len(p.mu.leaving)
	p.mu.Unlock()
	if left > 0 {
		return false
	}
	p.metrics.RemoveBackend(p.name, "")
	return true
}

// LookupError is a pool whose backends are all lost, because no name of its new configuration is known.
type LookupError struct {
	Pool, Host string
	Err        error
}

// Error names the pool, and a name that can't be found.
func (e *LookupError) Error() string {
	return fmt.Sprintf("balancer: pool %q would be left without any address: %s: %v", e.Pool, e.Host, e.Err)
}

// Unwrap gives the resolver's error.
func (e *LookupError) Unwrap() error { return e.Err }

// lookAhead finds the addresses of names that are new, so that their backends can serve at once. Names that can't be found
// are no error, as at the start, unless a pool that has addresses would be left without any.
func (b *Balancer) lookAhead(ctx context.Context, config Config) (map[string][]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, firstLookup)
	defer cancel()
	var names []string
	for _, c := range config.Pools {
		names = append(names, b.newNames(c)...)
	}
	slices.Sort(names)
	var (
		asked  sync.WaitGroup
		lock   sync.Mutex
		looked = map[string][]netip.Addr{}
		errs   = map[string]error{}
	)
	for _, host := range slices.Compact(names) {
		asked.Go(func() {
			found, err := lookUp(ctx, b.options.Lookup, host)
			lock.Lock()
			defer lock.Unlock()
			looked[host], errs[host] = found, err
		})
	}
	asked.Wait()
	for _, c := range config.Pools {
		if host := b.bereft(c, looked); host != "" {
			return nil, &LookupError{Pool: c.Name, Host: host, Err: errs[host]}
		}
	}
	return looked, nil
}

// newNames are the names of a pool's new configuration that its resolvers do not know yet.
func (b *Balancer) newNames(c PoolConfig) []string {
	var names []string
	p := b.Pool(c.Name)
	for _, backend := range c.Backends {
		host, _, _ := net.SplitHostPort(backend.Address)
		if _, err := netip.ParseAddr(host); err != nil && (p == nil || !p.roster.has(backend)) {
			names = append(names, host)
		}
	}
	return names
}

// bereft names a host that a pool lacks an address of, if it has addresses now and would be left with none.
func (b *Balancer) bereft(c PoolConfig, looked map[string][]netip.Addr) string {
	p, lacking := b.Pool(c.Name), ""
	if p == nil || c.Discovered || !p.addressed() {
		return ""
	}
	for _, backend := range c.Backends {
		host, _, _ := net.SplitHostPort(backend.Address)
		_, err := netip.ParseAddr(host)
		if err == nil || p.roster.has(backend) || len(looked[host]) > 0 {
			return ""
		}
		lacking = host
	}
	return lacking
}

// addressed tells whether any member has an address.
func (p *Pool) addressed() bool {
	return slices.ContainsFunc(p.Backends(), func(b *Backend) bool { return len(b.Addresses()) > 0 })
}

// has tells whether an entry is kept under a backend's configuration.
func (r *roster) has(c BackendConfig) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.mu.entries, func(e *entry) bool { return e.config.key() == c.key() })
}
