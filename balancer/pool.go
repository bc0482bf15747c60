package balancer

import (
	"errors"
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
