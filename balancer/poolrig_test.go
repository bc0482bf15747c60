package balancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/metrics"
)

// watched is a Watcher that remembers what it was told.
type watched struct {
	sync.Mutex
	calls []string
}

func (w *watched) note(what string, b *Backend) {
	w.Lock()
	defer w.Unlock()
	w.calls = append(w.calls, what+" "+b.Name)
}

func (w *watched) Watch(b *Backend)   { w.note("watch", b) }
func (w *watched) Forget(b *Backend)  { w.note("forget", b) }
func (w *watched) Suspect(b *Backend) { w.note("suspect", b) }

// took returns what it was told since the last time.
func (w *watched) took() []string {
	w.Lock()
	defer w.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

// logged is a slog.Handler that keeps the lines, without their times.
type logged struct {
	mu    *sync.Mutex
	lines *[]string
	attrs string
}

func newLogged() logged { return logged{mu: &sync.Mutex{}, lines: new([]string)} }

func (l logged) Enabled(context.Context, slog.Level) bool { return true }
func (l logged) WithGroup(string) slog.Handler            { return l }

func (l logged) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		l.attrs += " " + a.String()
	}
	return l
}

func (l logged) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message + l.attrs
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.lines = append(*l.lines, line)
	return nil
}

// with returns the lines that hold all of these words.
func (l logged) with(words ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(*l.lines), func(line string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// poolRig is a pool with what it works with.
type poolRig struct {
	*Pool
	t       *testing.T
	watched *watched
	log     logged
	metrics *metrics.Metrics
	changes []Change
}

// newRig makes a pool; change may alter its configuration.
func newRig(t *testing.T, change func(*PoolConfig)) *poolRig {
	t.Helper()
	config := PoolConfig{Name: "fe", Protocol: MySQL, Policy: LeastConnections, SessionsOnDown: Verify, Keepalive: time.Minute,
		QueueTimeout: time.Second}
	if change != nil {
		change(&config)
	}
	r := &poolRig{t: t, watched: &watched{}, log: newLogged(), metrics: metrics.New(metrics.BuildInfo{})}
	r.Pool = newPool(config, slog.New(r.log), r.metrics, r.watched)
	r.Pool.roster = &roster{pool: r.Pool}
	r.Pool.changed = func(c Change) { r.changes = append(r.changes, c) }
	r.metrics.Observe(balancerOf(r.Pool).samples)
	return r
}

// balancerOf is a balancer that has these pools, and does nothing.
func balancerOf(pools ...*Pool) *Balancer {
	b := &Balancer{}
	b.served.Store(&served{pools: pools})
	return b
}

// join adds backends with these names, at addresses of their own; change may alter each one's configuration.
func (r *poolRig) join(change func(*BackendConfig), names ...string) []*Backend {
	r.t.Helper()
	var all []*Backend
	for _, name := range names {
		c := BackendConfig{Name: name, Address: fmt.Sprintf("10.0.0.%d:9030", len(r.Backends())+1), Weight: 1}
		if change != nil {
			change(&c)
		}
		if _, err := r.Pool.roster.admit(c, false); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, r.Backend(name))
	}
	return all
}

// Order gives an order in a person's name.
func (r *poolRig) Order(b *Backend, o Order, by string) {
	r.t.Helper()
	if err := r.Pool.Order(b, Standing{Order: o, By: by}); err != nil {
		r.t.Fatal(err)
	}
}

// judge reports a verdict of a probe that began now.
func (r *poolRig) judge(b *Backend, v Verdict) {
	found := Probe{At: time.Now(), Verdict: v}
	if v != Fit {
		found.Reason = "the probe said " + v.String()
	}
	r.Report(b, found)
}

// take is Acquire, which must succeed on a backend of that name, or on any if it is empty.
func (r *poolRig) take(want string, request Request) *Lease {
	r.t.Helper()
	l, err := r.Acquire(request)
	if err != nil {
		r.t.Fatalf("no lease: %v", err)
	}
	if want != "" && l.Backend.Name != want {
		r.t.Fatalf("the lease is for %s, want %s", l.Backend.Name, want)
	}
	return l
}

// refuse is Acquire, which must fail.
func (r *poolRig) refuse(want error, request Request) {
	r.t.Helper()
	if l, err := r.Acquire(request); !errors.Is(err, want) || l != nil {
		r.t.Fatalf("%v, %v, want the error %v", l, err, want)
	}
}

// gauge reads the first series of a metric that has these values among its labels.
func gauge(t *testing.T, m *metrics.Metrics, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "fairlead_"+name {
			continue
		}
		for _, series := range family.GetMetric() {
			values := map[string]bool{}
			for _, l := range series.GetLabel() {
				values[l.GetValue()] = true
			}
			if !slices.ContainsFunc(labels, func(l string) bool { return !values[l] }) {
				return series.GetGauge().GetValue() + series.GetCounter().GetValue() + float64(series.GetHistogram().GetSampleCount()), true
			}
		}
	}
	return 0, false
}

func (r *poolRig) gauge(name string, labels ...string) float64 {
	r.t.Helper()
	v, _ := gauge(r.t, r.metrics, name, labels...)
	return v
}
