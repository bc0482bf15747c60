package probe

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"fairlead/metrics"
)

// jitter is by how much an interval varies, as a part of it, so that probes of many backends, and of many
// balancers, don't fall into step.
const jitter = 0.1

// monitor probes one backend until it is stopped.
type monitor struct {
	once   func(context.Context, Config, Target) Result
	report func(Report)
	log    *slog.Logger

	wake   chan struct{} // of one element: probe now
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	mu struct {
		sync.Mutex
		config  Config
		target  Target
		metrics *metrics.Backend
		tally   tally
		// stale says that live traffic saw a failure after the present probe began, which therefore can't clear it.
		stale bool
	}
	told string // the latest ConfigError that was logged, or failLocal; run's own
}

// run probes after delay, and then again and again. It returns when ctx ends.
func (m *monitor) run(ctx context.Context, delay time.Duration) {
	defer close(m.done)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		start := time.Now()
		wait, ok := m.probe(ctx)
		if !ok {
			return
		}
		timer.Reset(max(0, wait-time.Since(start)))
	}
}

// probe makes one probe and tells of it. It returns the time from its start to the next one's, and false when it was
// cut off.
func (m *monitor) probe(ctx context.Context) (time.Duration, bool) {
	m.mu.Lock()
	config, target, series := m.mu.config, m.mu.target, m.mu.metrics
	m.mu.stale = false
	m.mu.Unlock()

	result := m.once(ctx, config, target)
	if ctx.Err() != nil {
		return 0, false
	}
	verdict, settled := m.count(result.Verdict)
	series.Probe.Observe(result.Total.Seconds())
	if result.Verdict == Unfit || result.Verdict == Leaving {
		series.ProbeFailure(result.Failure)
	}
	m.tell(result, verdict)
	m.report(Report{Verdict: verdict, Result: result})
	if settled {
		return vary(config.Interval), true
	}
	return vary(min(config.FastInterval, config.Interval)), true
}

func (m *monitor) count(v Verdict) (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v != Fit || !m.mu.stale {
		m.mu.tally = m.mu.tally.add(v, m.mu.config.Rise, m.mu.config.Fall)
	}
	return m.mu.tally.verdict, m.mu.tally.settled()
}

// suspect takes note that live traffic saw a failure, and has the backend probed at once if that is news.
func (m *monitor) suspect() {
	m.mu.Lock()
	before := m.mu.tally
	m.mu.tally = before.suspect()
	m.mu.stale = true
	news := !before.suspected && m.mu.tally.suspected
	m.mu.Unlock()
	if news {
		m.probeNow()
	}
}

// probeNow has the next probe begin at once; one under way is not disturbed.
func (m *monitor) probeNow() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// tell logs. Changes of a backend's state are logged by whom they concern; here is only what a person has to mend, once
// until all is well again, and the details for those who ask for them.
func (m *monitor) tell(result Result, verdict Verdict) {
	switch {
	case result.Failure == failLocal && m.told != failLocal:
		m.told = failLocal
		m.log.Warn("this machine can't probe: what was known of the backend stays", "problem", result.Reason)
	case result.ConfigError != "" && result.ConfigError != m.told:
		m.told = result.ConfigError
		m.log.Warn("the probe's configuration does not work", "problem", result.ConfigError)
	case result.Verdict == Fit && result.ConfigError == "":
		m.told = "" // what comes again after this is news
	}
	m.log.Debug("probed", "found", result.Verdict.String(), "verdict", verdict.String(), "reason", result.Reason,
		"address", result.Address.String(), "total", result.Total)
}

// vary returns a duration within a tenth of d.
func vary(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + jitter*(2*rand.Float64()-1)))
}
