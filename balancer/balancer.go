package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/balancer/splice"
	"fairlead/metrics"
)

// Options are what a Balancer works with. Log and Metrics must be set.
type Options struct {
	Log     *slog.Logger
	Metrics *metrics.Metrics
	// Watcher probes the backends; nil means that nobody does, and only live traffic tells.
	Watcher Watcher
	// Sessions, when set, is called for each session that ends, and with SessionBegun for each one that has logged in,
	// always by the same goroutine. When it falls behind, records are dropped, and the next one says how many.
	Sessions     func(SessionRecord)
	SessionBegun bool
	// SessionsWanted, when set, is asked at each session's end whether Sessions is to be called. It must be quick.
	SessionsWanted func() bool
	// Changed, when set, is told of each change of a backend's state. It is called with the pool locked: it must be quick
	// and call nothing of the balancer.
	Changed func(Change)
	// Lookup finds the addresses of names; nil means the system's resolver.
	Lookup lookup
	// Handover, when set, is what was known of the backends by the one whose place this balancer takes.
	Handover *Handover
	// Inherited, when set, gives a socket that listens already, or nil when there is none. The balancer takes a duplicate.
	Inherited func(listener string, bind netip.AddrPort) *os.File
}

// Balancer leads sessions from its listeners to its pools.
type Balancer struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	options Options
	engine  splice.Engine
	served  atomic.Pointer[served]
	records *sessionRecords
	past    past

	chores struct { // what runs beside the sessions, from Start to Close
		sync.WaitGroup
		ctx    context.Context
		cancel context.CancelFunc
	}
	// changing orders Start, reloads, Shutdown and Close, and guards what follows.
	changing  sync.Mutex
	closing   bool
	displaced []*door  // to be closed in a moment
	outgoing  []*terms // no longer in force, with sessions that are still being set up
	ids       atomic.Uint64
	sessions  atomic.Int64 // under way, set-ups included
	quiet     chan struct{}
	ready     atomic.Bool
	started   time.Time
}

// New builds a balancer that does not listen yet. The configuration must be valid: see Config.Validate.
func New(config Config, o Options) (*Balancer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if o.Watcher == nil {
		o.Watcher = nobodyWatches{}
	}
	if o.Lookup == nil {
		o.Lookup = systemLookup
	}
	b := &Balancer{log: o.Log, metrics: o.Metrics, options: o, quiet: make(chan struct{}, 1), started: time.Now(),
		past: newPast()}
	engine, err := splice.New(splice.Options{
		Kind: config.Engine.Kind, Loops: config.Engine.Loops, Pipes: config.Engine.Pipes, PipeSize: config.Engine.PipeSize,
		Panicked: func(value any, stack []byte) {
			b.log.Error("a session's set-up failed: this is a fault of fairlead, please report it", "panic", value, "stack", string(stack))
		},
	})
	if err != nil {
		return nil, err
	}
	b.engine = engine
	b.records = newSessionRecords(o.Sessions, o.SessionBegun)
	b.records.wanted = o.SessionsWanted
	if err := b.build(config); err != nil {
		b.Close()
		return nil, err
	}
	b.metrics.Observe(b.samples)
	return b, nil
}

// served is what is served: the configuration, and what was made of it. It never changes, and is replaced as a whole.
type served struct {
	listeners []*Listener // in the order of the configuration, as are the pools
	pools     []*Pool
	// Those that the configuration had before, and that have sessions still.
	pastListeners []*Listener
	pastPools     []*Pool
}

// allPools are the present ones and those of the past.
func (s *served) allPools() []*Pool { return slices.Concat(s.pools, s.pastPools) }

// now is what is served now.
func (b *Balancer) now() *served { return b.served.Load() }

func (b *Balancer) build(config Config) error {
	now := &served{}
	b.served.Store(now)
	targets := map[string]target{}
	for _, c := range config.Pools {
		p := b.newPool(c)
		now.pools = append(now.pools, p)
		if err := p.roster.set(c.Backends, false); err != nil {
			return err
		}
		p.rediscover(b.options.Handover)
		targets[c.Name] = p.target()
	}
	for _, c := range config.Listeners {
		l := b.newListener(c.Name)
		l.gate.configure(c.Gate)
		l.terms.Store(newTerms(c, targets))
		now.listeners = append(now.listeners, l)
	}
	return nil
}

func (b *Balancer) newPool(c PoolConfig) *Pool {
	p := newPool(c, b.log, b.metrics, b.options.Watcher)
	p.changed = b.options.Changed
	p.roster = &roster{pool: p, lookup: b.options.Lookup}
	p.expect(b.options.Handover)
	return p
}

// Start looks up names and opens the listeners: all of them, or, with an error, none. It is called once.
func (b *Balancer) Start() error {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.chores.ctx, b.chores.cancel = context.WithCancel(context.Background())
	b.resolve(b.chores.ctx)
	b.chores.Go(func() { b.tidy(b.chores.ctx) })
	b.chores.Go(func() { b.sweep(b.chores.ctx) })
	b.chores.Go(func() { b.remember(b.chores.ctx) })
	listeners := b.now().listeners
	configs := make([]ListenerConfig, len(listeners))
	for i, l := range listeners {
		configs[i] = l.terms.Load().ListenerConfig
	}
	doors, err := b.openDoors(configs, nil)
	if err != nil {
		return err
	}
	for i, l := range listeners {
		l.serveAt(doors.wanted[i])
	}
	b.ready.Store(true)
	return nil
}

// resolve begins to look names up, and waits for the first answers, but not for long.
func (b *Balancer) resolve(ctx context.Context) {
	names, pools := 0, b.now().pools
	for _, p := range pools {
		names += p.roster.names()
	}
	first := make(chan struct{}, names)
	for _, p := range pools {
		p.roster.start(ctx, first)
	}
	enough := time.After(firstLookup)
	for range names {
		select {
		case <-first:
		case <-enough:
			return
		}
	}
}

// Shutdown ends the balancer in the order that loses least: it says that it is not ready and goes on accepting for grace,
// so that a VIP can move; it stops listening and lets sessions finish for drain; then it cuts what is left. A ctx that
// is done cuts all of that short. Afterwards the balancer is closed.
func (b *Balancer) Shutdown(ctx context.Context, grace, drain time.Duration) {
	b.ready.Store(false)
	b.log.Info("shutting down: not ready, still accepting", "grace", grace, "sessions", b.sessions.Load())
	pause(ctx, grace)
	b.closeListeners()
	b.Finish(ctx, drain)
}

// Retire stops listening, as when another process goes on in this one's place. The sessions go on.
func (b *Balancer) Retire() { b.closeListeners() }

// Finish lets sessions finish for drain, or until ctx is done, and cuts what is left. Afterwards the balancer is closed.
func (b *Balancer) Finish(ctx context.Context, drain time.Duration) {
	b.log.Info("not listening any more: sessions may finish", "drain", drain, "sessions", b.sessions.Load())
	b.AwaitQuiet(ctx, drain)
	if left := b.sessions.Load(); left > 0 {
		b.log.Warn("cutting the sessions that are left", "sessions", left)
	}
	b.Close()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// AwaitQuiet waits until no session is left, or for most. It must not be called twice at a time.
func (b *Balancer) AwaitQuiet(ctx context.Context, most time.Duration) {
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for b.sessions.Load() > 0 {
		select {
		case <-b.quiet:
		case <-timeout.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// closeListeners is the end of all listening, and of all reloads.
func (b *Balancer) closeListeners() {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.closing = true
	b.closeDisplaced()
	for _, l := range b.now().listeners {
		l.close()
	}
}

// Close ends everything at once and waits until nothing runs any more.
func (b *Balancer) Close() {
	b.ready.Store(false)
	b.closeListeners()
	pools := b.now().allPools()
	if b.chores.cancel != nil {
		b.chores.cancel()
		b.chores.Wait()
		for _, p := range pools {
			p.roster.running.Wait()
		}
	}
	b.engine.Close()
	for _, p := range pools {
		p.close()
	}
	b.records.close()
}

// Ready tells whether clients can be served: nil, or why not. The listeners must be open, and one of them at least must
// have a backend that is up. Not all of them: an outage that two nodes share must not take the VIP from both.
func (b *Balancer) Ready() error {
	if !b.ready.Load() {
		return errors.New("not serving: starting or shutting down")
	}
	var down []string
	for _, l := range b.now().listeners {
		t := l.terms.Load()
		if t.own.pool.canServe(t.tiers) {
			return nil
		}
		down = append(down, fmt.Sprintf("listener %q: no backend of pool %q%s is up", l.name, t.Pool, t.wanted()))
	}
	return errors.New("not serving: " + strings.Join(down, "; "))
}

// Pool finds a pool by name; nil when there is none.
func (b *Balancer) Pool(name string) *Pool {
	for _, p := range b.now().pools {
		if p.name == name {
			return p
		}
	}
	return nil
}

// Sessions counts the sessions under way, those being set up among them.
func (b *Balancer) Sessions() int { return int(b.sessions.Load()) }

func (b *Balancer) sessionBegun(s *session) {
	s.begun.Store(true)
	if !s.denied {
		b.records.begun(s)
	}
}

func (b *Balancer) sessionEnded(s *session, over time.Time, end string) {
	b.records.ended(s, over, end)
	s.listener.sessions.Add(-1)
	if b.sessions.Add(-1) == 0 {
		select {
		case b.quiet <- struct{}{}:
		default:
		}
	}
}

// nobodyWatches is a Watcher without eyes: a suspect is cleared by nobody, so the last resort must serve.
type nobodyWatches struct{}

func (nobodyWatches) Watch(*Backend)   {}
func (nobodyWatches) Forget(*Backend)  {}
func (nobodyWatches) Suspect(*Backend) {}
