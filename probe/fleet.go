package probe

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"fairlead/metrics"
)

// spread is how far apart the first probes of many backends begin on average: a balancer that starts must
// not send them all in one burst, and few backends are still probed at once.
const spread = time.Millisecond

// Fleet probes backends, each in a goroutine of its own, and reports after each probe. Keys are the caller's.
type Fleet[K comparable] struct {
	log     *slog.Logger
	metrics *metrics.Metrics
	report  func(K, Report)
	once    func(context.Context, Config, Target) Result

	mu struct {
		sync.Mutex
		closed   bool
		monitors map[K]*monitor
	}
}

// NewFleet returns a fleet without backends. report is called from the goroutine of each backend, for one
// backend never twice at a time, and never after Forget or Close has returned. It must call neither of them, and whoever
// calls them must hold no lock that report takes.
//
// A report's verdict can be older than what live traffic saw meanwhile: Result.At says when the probe began.
func NewFleet[K comparable](log *slog.Logger, m *metrics.Metrics, report func(K, Report)) *Fleet[K] {
	f := &Fleet[K]{log: log, metrics: m, report: report, once: Once}
	f.mu.monitors = make(map[K]*monitor)
	return f
}

// Watch begins to probe a backend: at once, or within milliseconds of it when there are many. For a key that
// is watched already it changes target and configuration, keeps the verdict, and probes at once. After Close it does
// nothing.
func (f *Fleet[K]) Watch(key K, target Target, config Config) {
	config = config.withDefaults()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return
	}
	if m := f.mu.monitors[key]; m != nil {
		m.mu.Lock()
		m.mu.target, m.mu.config, m.mu.metrics = target, config, f.metrics.Backend(target.Pool, target.Name)
		m.mu.Unlock()
		m.probeNow()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &monitor{
		once:   f.once,
		report: func(r Report) { f.report(key, r) },
		log:    f.log.With("pool", target.Pool, "backend", target.Name),
		wake:   make(chan struct{}, 1),
		cancel: cancel,
		done:   make(chan struct{}),
	}
	m.mu.target, m.mu.config, m.mu.metrics = target, config, f.metrics.Backend(target.Pool, target.Name)
	m.mu.tally = begun(target.Known)
	f.mu.monitors[key] = m
	within := min(time.Duration(len(f.mu.monitors)-1)*2*spread, config.Interval)
	go m.run(ctx, time.Duration(rand.Float64()*float64(within)))
}

// Reconfigure changes how a backend is probed, keeps the verdict, and probes at once. It does nothing for a key that is not
// watched, nor for the configuration that is in force already.
func (f *Fleet[K]) Reconfigure(key K, config Config) {
	config = config.withDefaults()
	f.mu.Lock()
	m := f.mu.monitors[key]
	f.mu.Unlock()
	if m == nil {
		return
	}
	m.mu.Lock()
	same := reflect.DeepEqual(m.mu.config, config)
	m.mu.config = config
	m.mu.Unlock()
	if !same {
		m.probeNow()
	}
}

// Suspect says that live traffic has seen the backend refuse, reset or keep silent. Its verdict goes back to
// Undecided if it was fit, it is probed at once and every FastInterval, and Rise successes are needed again. It never
// waits, and does nothing for a key that is not watched.
func (f *Fleet[K]) Suspect(key K) {
	f.mu.Lock()
	m := f.mu.monitors[key]
	f.mu.Unlock()
	if m != nil {
		m.suspect()
	}
}

// Forget ends the probes of a backend and waits until they have ended: a probe under way is cut off. It does nothing
// for a key that is not watched.
func (f *Fleet[K]) Forget(key K) {
	f.mu.Lock()
	m := f.mu.monitors[key]
	delete(f.mu.monitors, key)
	f.mu.Unlock()
	if m != nil {
		m.cancel()
		<-m.done
	}
}

// Close ends all probes for good and waits until they have ended. It may be called again.
func (f *Fleet[K]) Close() {
	f.mu.Lock()
	f.mu.closed = true
	monitors := f.mu.monitors
	f.mu.monitors = nil
	f.mu.Unlock()
	for _, m := range monitors {
		m.cancel()
	}
	for _, m := range monitors {
		<-m.done
	}
}
