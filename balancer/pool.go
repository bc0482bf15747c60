package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/balancer/splice"
	"fairlead/metrics"
)

var (
	// ErrNoBackend is an Acquire for which every backend has been tried or must not be.
	ErrNoBackend = errors.New("balancer: no backend available")
	// ErrFull is an Acquire that found every fit backend at its cap, and the queue full or not there.
	ErrFull = errors.New("balancer: every backend is at its cap")
)

// Watcher probes backends on behalf of a balancer, and reports by Pool.Report. Its methods must not call back into the
// pool before they return, other than Watch, which may ask for the backend's configuration.
type Watcher interface {
	// Watch begins to probe a backend that joined a pool, Forget ends it.
	Watch(*Backend)
	Forget(*Backend)
	// Suspect asks for a probe at once, for live traffic has met a failure: only Rise successes make it fit again.
	Suspect(*Backend)
}

// Pool is a set of backends, and the only place where their membership, states and counts are kept: choosing a backend
// and counting the session on it is one step under one lock.
type Pool struct {
	name    string
	log     *slog.Logger
	metrics *metrics.Metrics
	nobody  *metrics.Backend // counts sessions that reached no backend
	watcher Watcher
	changed func(Change) // may be nil

	config atomic.Pointer[settings]
	roster *roster

	rebalancing rebalancing

	mu struct {
		sync.Mutex
		seats    []seat // to be changed by alter alone
		index    index
		backends []*Backend // seats[i] is backends[i]'s
		leaving  []*Backend // no members any more, with sessions left
		absent   []Standing // orders for backends that are no members, the oldest first
		start    int        // where the next choice begins
		queue    []*ticket
		known    map[string]BackendHandover // of backends that have not joined yet
		former   map[string]int             // sessions of processes from before an upgrade, by the backend's name
	}
}

// settings are a pool's configuration and what follows from it. They are replaced as a whole.
type settings struct {
	PoolConfig
	keepalive splice.Keepalive
}

// Request is what a session asks of a pool.
type Request struct {
	// Source is the client's address, for source hash.
	Source netip.Addr
	// Tried are the backends that have failed this session already.
	Tried []*Backend

	tiers  tiers // the roles that may serve it; nil means any
	holder *session
}

func newPool(config PoolConfig, log *slog.Logger, m *metrics.Metrics, watcher Watcher) *Pool {
	p := &Pool{name: config.Name, log: log.With("pool", config.Name), metrics: m, watcher: watcher,
		nobody: m.Backend(config.Name, "")}
	p.configure(config)
	return p
}

// configure puts settings in force, unless they are the present ones.
func (p *Pool) configure(c PoolConfig) {
	if now := p.config.Load(); now == nil || !reflect.DeepEqual(now.PoolConfig, c) {
		p.config.Store(&settings{PoolConfig: c, keepalive: keepalive(c.Keepalive)})
	}
}

// target is the pool as it is configured now.
func (p *Pool) target() target { return target{p, p.config.Load()} }

// Name is the pool's name in the configuration.
func (p *Pool) Name() string { return p.name }

// Config is the pool's present configuration.
func (p *Pool) Config() PoolConfig { return p.config.Load().PoolConfig }

// Acquire chooses a backend and counts the session on it. Errors: ErrFull, ErrNoBackend.
func (p *Pool) Acquire(r Request) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acquire(r)
}

func (p *Pool) acquire(r Request) (*Lease, error) {
	config := p.config.Load()
	round := p.round(r, config.SlowStart)
	if r.tiers == nil {
		r.tiers = anyRole
	}
	for _, round.roles = range r.tiers {
		for _, round.backup = range [...]bool{false, true} {
			if i := config.Policy.pick(&round); i >= 0 {
				return p.grant(i, r), nil
			}
			if round.anyFull() {
				return nil, ErrFull
			}
		}
	}
	for _, round.roles = range r.tiers {
		if i := p.lastResort(&round); i >= 0 {
			return p.grant(i, r), nil
		}
	}
	return nil, ErrNoBackend
}

func (p *Pool) round(r Request, slowStart time.Duration) round {
	made := round{seats: p.mu.seats, start: p.mu.start, source: r.Source, slowStart: slowStart}
	if made.slowStart > 0 {
		made.now = time.Now()
	}
	if len(made.seats) >= indexedSeats {
		made.index = &p.mu.index
	}
	if len(r.Tried) > 0 {
		made.tried = make([]uint64, len(p.mu.seats)/64+1)
		for _, b := range r.Tried {
			if i := b.mu.seat; i >= 0 {
				made.tried[i/64] |= 1 << (i % 64)
			}
		}
	}
	return made
}

// lastResort chooses among backends that are believed to be down, or are leaving by themselves: to try one can't hurt
// a client that would be refused anyway. The one that worked last comes first. A person's order is respected.
func (p *Pool) lastResort(r *round) int {
	best := -1
	for i, b := range p.mu.backends {
		s := &r.seats[i]
		if b.mu.condition.order != Enable || !r.roles.wants(s.role) || s.weight == 0 || s.full() || r.hasTried(i) || len(b.Addresses()) == 0 {
			continue
		}
		if best < 0 || b.mu.succeeded.After(p.mu.backends[best].mu.succeeded) {
			best = i
		}
	}
	return best
}

// alter is a seat that is about to be changed.
func (p *Pool) alter(i int) *seat {
	p.mu.index.changed(i)
	return &p.mu.seats[i]
}

// grant counts one more session on the backend at seat i.
func (p *Pool) grant(i int, r Request) *Lease {
	b := p.mu.backends[i]
	p.alter(i).sessions++
	p.mu.start = (i + 1) % len(p.mu.seats)
	b.mu.sessions++
	b.mu.total++
	l := &Lease{Backend: b, holder: r.holder, lastResort: b.mu.condition.bad()}
	b.mu.leases.add(l)
	return l
}

func (p *Pool) release(l *Lease) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.held {
		return
	}
	b := l.Backend
	b.mu.leases.remove(l)
	b.mu.sessions--
	if i := b.mu.seat; i >= 0 {
		p.alter(i).sessions--
		p.serveQueue()
		return
	}
	if b.mu.sessions == 0 {
		p.mu.leaving = slices.DeleteFunc(p.mu.leaving, func(gone *Backend) bool { return gone == b })
	}
	p.removeSeries(b)
}

// removeSeries ends the metrics of a backend that was removed, once its last session has ended; unless another one of the
// same name goes on counting on them: a member, or one that was removed earlier and still has sessions.
func (p *Pool) removeSeries(b *Backend) {
	if b.mu.sessions == 0 && p.member(b.Name) == nil && !hasNamed(p.mu.leaving, b.Name) {
		p.metrics.RemoveBackend(p.name, b.Name)
	}
}

// Report takes what the probes have found. It may be called by several goroutines.
func (p *Pool) Report(b *Backend, found Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat < 0 {
		return
	}
	b.mu.probe = found
	if found.Reason == "" && found.At.After(b.mu.succeeded) {
		b.mu.succeeded = found.At
	}
	if found.Reason != "" {
		b.mu.trouble = found.Reason
	}
	if found.RoleKnown {
		p.setRole(b, Role(found.Role), RoleFromProbe)
	}
	if found.Verdict == Fit {
		b.mu.unproven = false
	}
	fresh := found.At.After(b.mu.suspectAt)
	p.change(b, b.mu.condition.judged(found.Verdict, fresh), found.Reason)
}

// setRole notes what a backend is to its cluster, unless somebody who knows better has said so.
func (p *Pool) setRole(b *Backend, role Role, from RoleSource) {
	if b.mu.roleFrom.outranks(from) || b.mu.role == role && b.mu.roleFrom == from {
		return
	}
	if was := b.mu.role; was != role && b.mu.roleFrom != "" {
		p.log.Info("backend has another role", "backend", b.Name, "was", was, "role", role, "from", from)
	}
	b.mu.role, b.mu.roleFrom = role, from
	if i := b.mu.seat; i >= 0 {
		p.alter(i).role = newRoleSet(role)
		p.serveQueue()
	}
}

// suspect takes a backend out of choice, for a session has met a failure there, and has it probed.
func (p *Pool) suspect(b *Backend, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.failures++
	if b.mu.seat < 0 {
		return
	}
	b.mu.suspectAt, b.mu.trouble = time.Now(), "live traffic: "+reason
	p.change(b, b.mu.condition.suspected(), b.mu.trouble)
	p.watcher.Suspect(b)
}

// succeeded notes a greeting that a session has got; for a tcp pool, a connection.
func (p *Pool) succeeded(b *Backend, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.succeeded = at
}

// change puts a backend into a condition, and does what a change of state calls for.
func (p *Pool) change(b *Backend, c condition, reason string) {
	was := b.mu.condition
	b.mu.condition = c
	b.bad.Store(c.bad())
	if was.bad() != c.bad() {
		p.tend(b, c.bad())
	}
	from, to := was.state(), c.state()
	if from == to {
		if to == Down && reason != "" {
			b.mu.reason = reason
		}
		return
	}
	now := time.Now()
	held := now.Sub(b.mu.since)
	b.mu.since, b.mu.reason = now, reason
	p.reseat(b)
	if to == Up && (from == Down || from == Disabled || was.verdict == Leaving) {
		p.alter(b.mu.seat).ramp = now
	}
	b.metrics.Transition(from.String(), to.String())
	level := slog.LevelInfo
	if to == Down {
		level = slog.LevelWarn
	}
	p.log.Log(context.Background(), level, "backend "+to.String(), "backend", b.Name, "was", from.String(), "for", held.Round(time.Millisecond),
		"reason", reason, "sessions", b.mu.sessions)
	if p.changed != nil {
		p.changed(Change{Pool: p.name, Backend: b.Name, From: from, To: to, Held: held, Reason: reason, Sessions: b.mu.sessions})
	}
	p.serveQueue()
}

// reseat brings a backend's seat up to date with its state and its addresses.
func (p *Pool) reseat(b *Backend) {
	if i := b.mu.seat; i >= 0 {
		p.alter(i).open = b.mu.condition.state().takes() && !b.mu.unproven && len(b.Addresses()) > 0
	}
}

// tend looks after the sessions of a backend that goes down or comes back, whatever a person has said of it. Those that
// are not joined yet are left alone: they can still go elsewhere, or find out by themselves.
func (p *Pool) tend(b *Backend, bad bool) {
	config := p.config.Load()
	for _, t := range b.mu.leases.joined() {
		config.tend(t, bad)
	}
}

func (c *settings) tend(t splice.Task, bad bool) {
	switch {
	case bad && c.SessionsOnDown == CloseSessions:
		t.Cut(splice.BackendDown)
	case bad && c.SessionsOnDown == Verify:
		t.Keepalive(verifying)
	case c.SessionsOnDown == Verify:
		t.Keepalive(c.keepalive)
	}
}

// verifying is the keepalive of sessions on a backend that went down: the kernel ends those whose peer is gone within 4
// seconds, and leaves alone those whose peer is only busy.
var verifying = splice.Keepalive{Idle: time.Second, Interval: time.Second, Count: 3, UserTimeout: 4 * time.Second}

// keepalive is the usual one: after idle of silence, a probe each quarter of that, three times.
func keepalive(idle time.Duration) splice.Keepalive {
	if idle <= 0 {
		return splice.Keepalive{}
	}
	return splice.Keepalive{Idle: idle, Interval: max(idle/4, time.Second), Count: 3}
}

// add makes a backend a member. addresses may be nil for a name that is not resolved yet.
// One that is unproven takes no sessions before a probe has succeeded.
func (p *Pool) add(c BackendConfig, name, host string, addresses []netip.AddrPort, unproven bool) *Backend {
	b := &Backend{Pool: p, Name: name, Host: host, metrics: p.metrics.Backend(p.name, name)}
	if len(addresses) > 0 {
		b.addresses.Store(&addresses)
	}
	p.mu.Lock()
	b.mu.seat, b.mu.since, b.mu.unproven = len(p.mu.seats), time.Now(), unproven
	if len(addresses) == 0 {
		b.mu.reason = fmt.Sprintf("%s is not resolved yet", host)
	}
	p.mu.seats = append(p.mu.seats, seat{hash: hashName(name)})
	p.mu.index.reset()
	p.mu.backends = append(p.mu.backends, b)
	p.adopt(b, c)
	p.seat(b, c)
	p.countFormer(b)
	p.recall(b)
	suspect := b.mu.condition.suspect
	p.mu.Unlock()
	p.watcher.Watch(b)
	if suspect {
		p.watcher.Suspect(b)
	}
	return b
}

// reconfigure changes a member's weight, cap, role and whether it is a backup.
func (p *Pool) reconfigure(b *Backend, c BackendConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat >= 0 {
		p.seat(b, c)
	}
}

// seat fills in a member's seat from its configuration.
func (p *Pool) seat(b *Backend, c BackendConfig) {
	b.mu.config = c
	limit := c.MaxSessions
	if limit == 0 {
		limit = p.config.Load().MaxSessions
	}
	s := p.alter(b.mu.seat)
	s.max, s.weight, s.backup = int32(limit), int32(c.Weight), c.Backup
	if b.mu.roleFrom == RoleFromFile {
		b.mu.roleFrom = "" // the file may have changed its mind
	}
	if c.Role != "" {
		p.setRole(b, Role(c.Role), RoleFromFile)
	}
	p.reseat(b)
	p.serveQueue()
}

// forgetRoles forgets the roles that nobody tells any more.
func (p *Pool) forgetRoles() {
	config := p.config.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.mu.backends {
		if b.mu.roleFrom == RoleFromDiscovery && !config.Discovered || b.mu.roleFrom == RoleFromProbe && !config.LearnsRoles ||
			b.mu.roleFrom == "" && b.mu.role != "" {
			b.mu.role, b.mu.roleFrom = "", ""
			p.alter(i).role = newRoleSet("")
		}
	}
	p.serveQueue()
}

// succeed lets a new member begin with what is known of one that is about to leave: what a person has ordered for its name
// or its address, and, where an address is the same, how it is.
func (p *Pool) succeed(b *Backend, leaving []*entry) {
	for _, e := range leaving {
		for _, old := range e.backends() {
			sameServer := slices.ContainsFunc(old.Addresses(), func(a netip.AddrPort) bool { return slices.Contains(b.Addresses(), a) })
			if old.Name == b.Name || sameServer {
				p.inherit(b, old, sameServer)
				return
			}
		}
	}
}

func (p *Pool) inherit(b, old *Backend, sameServer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat < 0 || old.mu.seat < 0 {
		return
	}
	if old.mu.standing.Order != Enable && b.mu.standing.Order == Enable {
		p.obey(b, old.mu.standing)
		old.mu.bequeathed = true
	}
	c := b.mu.condition
	if sameServer {
		c.verdict, c.suspect = old.mu.condition.verdict, old.mu.condition.suspect
		b.mu.unproven = b.mu.unproven && old.mu.unproven
		b.mu.trouble, b.mu.suspectAt, b.mu.succeeded, b.mu.probe = old.mu.trouble, old.mu.suspectAt, old.mu.succeeded, old.mu.probe
	}
	p.change(b, c, old.mu.reason)
	p.reseat(b)
}

// remove ends a backend's membership; its sessions go on, and its metrics end with the last of them.
func (p *Pool) remove(b *Backend) {
	p.watcher.Forget(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	i, last := b.mu.seat, len(p.mu.seats)-1
	if i < 0 {
		return
	}
	p.mu.seats = slices.Delete(p.mu.seats, i, i+1)
	p.mu.index.reset()
	p.mu.backends = slices.Delete(p.mu.backends, i, i+1)
	for k := i; k < last; k++ {
		p.mu.backends[k].mu.seat = k
	}
	p.mu.start = 0
	b.mu.seat = -1
	b.mu.former = 0 // they count where the name is a member, or nowhere
	if b.mu.standing.Order != Enable && !b.mu.bequeathed {
		p.keepAbsent(b.mu.standing)
	}
	if b.mu.sessions > 0 {
		p.mu.leaving = append(p.mu.leaving, b)
	}
	p.removeSeries(b)
	p.log.Info("backend removed", "backend", b.Name, "sessions", b.mu.sessions)
	p.serveQueue()
}

// readdress gives a backend the addresses that its name has now.
func (p *Pool) readdress(b *Backend, addresses []netip.AddrPort) {
	first := len(b.Addresses()) == 0
	b.addresses.Store(&addresses)
	p.mu.Lock()
	if first && b.mu.seat >= 0 {
		b.mu.reason = ""
		p.reseat(b)
		p.serveQueue()
	}
	p.mu.Unlock()
	if first {
		p.watcher.Watch(b)
	}
}
