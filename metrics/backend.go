package metrics

import "github.com/prometheus/client_golang/prometheus"

type backendName struct{ pool, backend string }

func (n backendName) labels() prometheus.Labels {
	return prometheus.Labels{"pool": n.pool, "backend": n.backend}
}

// Backend counts what happens to one backend of a pool. Get it once from [Metrics.Backend] and keep it.
type Backend struct {
	// BytesToServer and BytesToClient count the bytes moved each way.
	BytesToServer, BytesToClient prometheus.Counter
	// Connect and Greeting take the seconds of one connect and of the wait for one greeting after it,
	// Session those of a whole session, Probe those of one health probe.
	Connect, Greeting, Session, Probe prometheus.Observer

	metrics *Metrics
	nobody  bool // stands for sessions without a backend
	removed bool // guarded by Metrics.mu

	ends         bound // listener, end
	redispatches bound // reason
	failures     bound // reason
	transitions  bound // from, to
}

// Backend returns the handle of a backend; the same one for the same names until it is removed.
// An empty backend stands for the sessions of a pool that reached none: its Ended counts, and all else is
// counted into nothing.
func (m *Metrics) Backend(pool, backend string) *Backend {
	name := backendName{clean(pool), clean(backend)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.mu.backends[name]; b != nil {
		return b
	}
	b := &Backend{metrics: m, nobody: backend == ""}
	b.bind(name)
	m.mu.backends[name] = b
	return b
}

// bind makes the series that a backend has from its first moment: a rate needs the zero before the first
// event. The others are made when they first happen.
func (b *Backend) bind(name backendName) {
	m, own := b.metrics, name.labels()
	b.ends.init(m.sessions, own, 2)
	if b.nobody {
		b.bindNothing()
		return
	}
	b.redispatches.init(m.redispatch, own, 1)
	b.failures.init(m.probeFails, own, 1)
	b.transitions.init(m.transitions, own, 2)
	b.BytesToServer = m.bytes.WithLabelValues(name.pool, name.backend, "to_server")
	b.BytesToClient = m.bytes.WithLabelValues(name.pool, name.backend, "to_client")
	b.Connect = m.connect.With(own)
	b.Greeting = m.greeting.With(own)
	b.Session = m.session.With(own)
	b.Probe = m.probe.With(own)
}

func (b *Backend) bindNothing() {
	nothing := prometheus.NewCounter(prometheus.CounterOpts{Name: "nothing"})
	ignore := prometheus.ObserverFunc(func(float64) {})
	b.BytesToServer, b.BytesToClient = nothing, nothing
	b.Connect, b.Greeting, b.Session, b.Probe = ignore, ignore, ignore, ignore
}

// Ended counts the end of a session that came in at a listener. A session that outlives its listener is
// not counted.
func (b *Backend) Ended(listener, end string) {
	key := boundKey{listener, end}
	if counter := b.ends.get(key); counter != nil {
		counter.Inc()
		return
	}
	b.metrics.mu.Lock()
	defer b.metrics.mu.Unlock()
	if b.removed || b.metrics.mu.listeners[clean(listener)] == nil {
		return
	}
	b.ends.bind(key).Inc()
}

// Redispatch counts a client that was led elsewhere because this backend failed it.
func (b *Backend) Redispatch(reason string) {
	b.count(&b.redispatches, boundKey{reason})
}

// ProbeFailure counts a probe that found the backend unfit or leaving. The reason is one of a closed set.
func (b *Backend) ProbeFailure(reason string) {
	b.count(&b.failures, boundKey{reason})
}

// Transition counts a change of the backend's state.
func (b *Backend) Transition(from, to string) {
	b.count(&b.transitions, boundKey{from, to})
}

func (b *Backend) count(counters *bound, key boundKey) {
	if counter := counters.get(key); counter != nil {
		counter.Inc()
		return
	}
	b.metrics.mu.Lock()
	defer b.metrics.mu.Unlock()
	if b.removed || b.nobody {
		return
	}
	counters.bind(key).Inc()
}

// RemoveBackend removes all series of a backend. Handles that its last sessions still hold go on counting
// into nothing. It does nothing when the names are not known.
func (m *Metrics) RemoveBackend(pool, backend string) {
	name := backendName{clean(pool), clean(backend)}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.mu.backends[name]
	if b == nil {
		return
	}
	delete(m.mu.backends, name)
	b.removed = true
	series := name.labels()
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.sessions, m.bytes, m.connect, m.greeting, m.session, m.probe, m.redispatch, m.probeFails, m.transitions,
	} {
		vec.DeletePartialMatch(series)
	}
}
