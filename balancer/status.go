package balancer

import (
	"net/netip"
	"slices"
	"time"

	"fairlead/internal/clock"
	"fairlead/internal/history"
	"fairlead/metrics"
)

// Status is what a balancer is doing now. Its JSON is stable: fields are added, never changed.
type Status struct {
	Started   time.Time        `json:"started"`
	Ready     bool             `json:"ready"`
	NotReady  string           `json:"not_ready,omitempty"` // why
	Sessions  int              `json:"sessions"`
	Loops     []int            `json:"loops"` // sessions on each event loop
	Listeners []ListenerStatus `json:"listeners"`
	Pools     []PoolStatus     `json:"pools"`
}

// ListenerStatus is one listener's part of it.
type ListenerStatus struct {
	Name      string           `json:"name"`
	Addresses []netip.AddrPort `json:"addresses"`
	Pool      string           `json:"pool"`
	Sessions  int              `json:"sessions"`
	Removed   bool             `json:"removed,omitempty"` // by a reload, with sessions left
}

// PoolStatus is one pool's.
type PoolStatus struct {
	Name     string          `json:"name"`
	Protocol Protocol        `json:"protocol"`
	Policy   Policy          `json:"policy"`
	Sessions int             `json:"sessions"`
	Queued   int             `json:"queued"`
	Rates    history.Rates   `json:"rates"` // of all backends together, without the greeting
	Names    []NameStatus    `json:"names,omitempty"`
	Backends []BackendStatus `json:"backends"`
	// Absent are the orders for backends that are no members now; they hold once these are members again.
	Absent  []Standing `json:"absent,omitempty"`
	Removed bool       `json:"removed,omitempty"` // by a reload, with sessions left
}

// BackendStatus is one backend's. Durations are in nanoseconds.
type BackendStatus struct {
	Name        string           `json:"name"`
	Addresses   []netip.AddrPort `json:"addresses"`
	State       State            `json:"state"`
	Since       time.Time        `json:"since"`
	Reason      string           `json:"reason,omitempty"`
	Order       string           `json:"order,omitempty"` // what a person has said: drain or disable
	OrderedBy   string           `json:"ordered_by,omitempty"`
	OrderedAt   time.Time        `json:"ordered_at,omitzero"`
	CloseIdle   bool             `json:"close_idle,omitempty"` // the order ends its sessions as they become idle
	Deadline    time.Time        `json:"deadline,omitzero"`    // when the order cuts those that are left
	Cut         uint64           `json:"cut,omitempty"`        // sessions that this has cut
	Weight      int              `json:"weight"`
	SlowStart   float64          `json:"slow_start,omitempty"` // the part of its weight that counts, while a backend that came back grows
	Backup      bool             `json:"backup,omitempty"`
	Role        Role             `json:"role,omitempty"`
	RoleFrom    RoleSource       `json:"role_from,omitempty"` // how the role was learnt; empty while it is unknown
	Removed     bool             `json:"removed,omitempty"`   // no member any more, with sessions left
	Version     string           `json:"version,omitempty"`
	Sessions    int              `json:"sessions"`
	Former      int              `json:"former_sessions,omitempty"` // of processes from before an upgrade, which go on there
	MaxSessions int              `json:"max_sessions,omitempty"`
	Total       uint64           `json:"total"`    // sessions that were ever led there
	Failures    uint64           `json:"failures"` // connects and greetings that failed in live traffic
	Probed      time.Time        `json:"probed"`
	Connect     time.Duration    `json:"connect"` // of the latest probe
	Greeting    time.Duration    `json:"greeting"`
	ToServer    uint64           `json:"to_server"` // bytes, up to about a second ago
	ToClient    uint64           `json:"to_client"`
	Rates       history.Rates    `json:"rates"`
}

// NameStatus is a name that is looked up for a pool's members.
type NameStatus struct {
	Host      string `json:"host"`
	Addresses int    `json:"addresses"` // known now
	// Resolved is when the latest good answer came; zero for never.
	Resolved time.Time `json:"resolved"`
	// Error is why there was none after that, and Failing since when; both empty while all is well.
	Error   string    `json:"error,omitempty"`
	Failing time.Time `json:"failing,omitzero"`
}

// Change is a backend's change from one state to another.
type Change struct {
	Pool, Backend string
	From, To      State
	Held          time.Duration // how long it was in From
	Reason        string        // may be empty
	Sessions      int           // on the backend at that moment
}

// Status gathers it.
func (b *Balancer) Status() Status {
	s := Status{Started: clock.Told(b.started, time.Now()), Sessions: b.Sessions(), Loops: b.engine.Sessions()}
	if err := b.Ready(); err != nil {
		s.NotReady = err.Error()
	} else {
		s.Ready = true
	}
	now := b.now()
	for _, l := range now.listeners {
		s.Listeners = append(s.Listeners, l.status())
	}
	for _, l := range now.pastListeners {
		past := l.status()
		past.Removed = true
		s.Listeners = append(s.Listeners, past)
	}
	for _, p := range now.pools {
		s.Pools = append(s.Pools, p.status(b.past.Recorder))
	}
	for _, p := range now.pastPools {
		past := p.status(b.past.Recorder)
		past.Removed = true
		s.Pools = append(s.Pools, past)
	}
	return s
}

func (l *Listener) status() ListenerStatus {
	return ListenerStatus{Name: l.name, Addresses: l.Addresses(), Pool: l.terms.Load().Pool, Sessions: int(l.sessions.Load())}
}

// Addresses are those on which the listener listens now, with the ports that the kernel chose.
func (l *Listener) Addresses() []netip.AddrPort {
	addresses, wanted := []netip.AddrPort{}, l.terms.Load().Bind
	for _, d := range l.doors() {
		if slices.Contains(wanted, d.configured) {
			addresses = append(addresses, d.acceptor.Address())
		}
	}
	return addresses
}

// Listener finds a listener by name; nil when there is none.
func (b *Balancer) Listener(name string) *Listener {
	for _, l := range b.now().listeners {
		if l.name == name {
			return l
		}
	}
	return nil
}

// Status gathers what the pool itself knows: rates, bytes and names are left out.
func (p *Pool) Status() PoolStatus {
	s, _ := p.present()
	return s
}

// status gathers the pool's part.
func (p *Pool) status(past *history.Recorder[*Backend]) PoolStatus {
	s, backends := p.present()
	s.Names = p.roster.status()
	now := time.Now()
	for i := range s.Names {
		n := &s.Names[i]
		n.Resolved, n.Failing = clock.Told(n.Resolved, now), clock.Told(n.Failing, now)
	}
	for i, b := range backends {
		at := &s.Backends[i]
		counted, rates := past.Now(b)
		at.ToServer, at.ToClient, at.Rates = uint64(counted.ToServer), uint64(counted.ToClient), rates
		s.Rates.NewSessions += rates.NewSessions
		s.Rates.ToServer += rates.ToServer
		s.Rates.ToClient += rates.ToClient
	}
	return s
}

// present is what the pool's lock guards, and whose it is.
func (p *Pool) present() (PoolStatus, []*Backend) {
	config := p.Config()
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := PoolStatus{Name: p.name, Protocol: config.Protocol, Policy: config.Policy, Queued: len(p.mu.queue),
		Backends: make([]BackendStatus, len(p.mu.backends), len(p.mu.backends)+len(p.mu.leaving))}
	for i, b := range p.mu.backends {
		s.Backends[i] = b.status(p.mu.seats[i], now)
		s.Backends[i].SlowStart = p.mu.seats[i].grown(now, config.SlowStart)
		s.Sessions += b.mu.sessions
	}
	s.Absent = told(p.mu.absent, now)
	for _, b := range p.mu.leaving {
		gone := b.status(seat{}, now)
		gone.Removed, gone.State, gone.Reason = true, Draining, "removed"
		s.Backends = append(s.Backends, gone)
		s.Sessions += b.mu.sessions
	}
	return s, slices.Concat(p.mu.backends, p.mu.leaving)
}

func (b *Backend) status(seat seat, now time.Time) BackendStatus {
	s := BackendStatus{Name: b.Name, Addresses: b.Addresses(), State: b.mu.condition.state(), Since: clock.Told(b.mu.since, now),
		Reason: b.mu.reason, Weight: b.mu.config.Weight, Backup: b.mu.config.Backup, Role: b.mu.role,
		RoleFrom: b.mu.roleFrom, Version: b.mu.probe.Version,
		Sessions: b.mu.sessions, Former: b.mu.former, MaxSessions: int(seat.max), Total: b.mu.total, Failures: b.mu.failures,
		Probed: clock.Told(b.mu.probe.At, now), Connect: b.mu.probe.Connect, Greeting: b.mu.probe.Greeting}
	if o := b.mu.standing; o.Order != Enable {
		s.Order, s.OrderedBy, s.OrderedAt = o.Order.String(), o.By, clock.Told(o.At, now)
		s.CloseIdle, s.Deadline, s.Cut = o.CloseIdle, clock.Told(o.Deadline, now), b.mu.cut
	}
	return s
}

// State is the backend's present state.
func (b *Backend) State() State {
	b.Pool.mu.Lock()
	defer b.Pool.mu.Unlock()
	return b.mu.condition.state()
}

// Sessions counts the sessions that hold a place on the backend.
func (b *Backend) Sessions() int {
	b.Pool.mu.Lock()
	defer b.Pool.mu.Unlock()
	return b.mu.sessions
}

// Pools are all pools, in the order of the configuration.
func (b *Balancer) Pools() []*Pool { return slices.Clone(b.now().pools) }

// Config is how the backend is configured now.
func (b *Backend) Config() BackendConfig {
	b.Pool.mu.Lock()
	defer b.Pool.mu.Unlock()
	return b.mu.config
}

// Backends are the pool's members.
func (p *Pool) Backends() []*Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Backend(nil), p.mu.backends...)
}

// Backend finds a member by name; nil when there is none.
func (p *Pool) Backend(name string) *Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.member(name)
}

// member is Backend with the pool locked.
func (p *Pool) member(name string) *Backend {
	for _, b := range p.mu.backends {
		if b.Name == name {
			return b
		}
	}
	return nil
}

func hasNamed(backends []*Backend, name string) bool {
	return slices.ContainsFunc(backends, func(b *Backend) bool { return b.Name == name })
}

// canServe tells whether a member is up that has one of those roles.
func (p *Pool) canServe(t tiers) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, roles := range t {
		for i, b := range p.mu.backends {
			if b.mu.condition.state() == Up && roles.wants(p.mu.seats[i].role) {
				return true
			}
		}
	}
	return false
}

// close ends the probing of all members.
func (p *Pool) close() {
	for _, b := range p.Backends() {
		p.watcher.Forget(b)
	}
}

// samples are the gauges, read at each scrape from where the truth is.
func (b *Balancer) samples() metrics.Samples {
	var s metrics.Samples
	for _, p := range b.now().allPools() {
		pool, backends := p.sample()
		s.Pools = append(s.Pools, pool)
		seen := make(map[string]int, len(backends)) // where the sample of each name is
		for _, one := range backends {
			if i, ok := seen[one.Backend]; ok {
				s.Backends[i].Sessions += one.Sessions
				continue
			}
			seen[one.Backend] = len(s.Backends)
			s.Backends = append(s.Backends, one)
		}
	}
	return s
}

// sample reads a pool's gauges. There are several of one name where a backend was removed, keeps sessions, and has come back;
// a member comes first.
func (p *Pool) sample() (metrics.PoolSample, []metrics.BackendSample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]metrics.BackendSample, 0, len(p.mu.backends)+len(p.mu.leaving))
	for _, b := range p.mu.backends {
		all = append(all, metrics.BackendSample{Pool: p.name, Backend: b.Name, State: b.mu.condition.state().String(),
			Sessions: b.mu.sessions, Former: b.mu.former})
	}
	for _, gone := range p.mu.leaving {
		all = append(all, metrics.BackendSample{Pool: p.name, Backend: gone.Name, State: Draining.String(), Sessions: gone.mu.sessions})
	}
	return metrics.PoolSample{Pool: p.name, Queued: len(p.mu.queue)}, all
}
