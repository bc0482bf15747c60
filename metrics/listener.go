package metrics

import "github.com/prometheus/client_golang/prometheus"

// Listener counts what happens at one door. Get it once from [Metrics.Listener] and keep it.
type Listener struct {
	metrics *Metrics
	removed bool // guarded by Metrics.mu
	accepts prometheus.Counter
	rejects bound // reason
	moved   prometheus.Counter
	unmoved bound // reason
}

// Listener returns the handle of a listener; the same one for the same name until the listener is
// removed. Sessions are counted only for listeners that have a handle.
func (m *Metrics) Listener(name string) *Listener {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.mu.listeners[name]; l != nil {
		return l
	}
	l := &Listener{metrics: m, accepts: m.accepts.WithLabelValues(name)}
	l.rejects.init(m.rejects, prometheus.Labels{"listener": name}, 1)
	l.moved = m.moved.WithLabelValues(name)
	l.unmoved.init(m.unmoved, prometheus.Labels{"listener": name}, 1)
	m.mu.listeners[name] = l
	return l
}

// Accepts counts a connection accepted from a client.
func (l *Listener) Accepts() { l.accepts.Inc() }

// Reject counts a connection turned away. The reason is one of a closed set.
func (l *Listener) Reject(reason string) { l.count(&l.rejects, reason) }

// LoginMoved counts a login that was moved to the pool of a route, and answered there.
func (l *Listener) LoginMoved() { l.moved.Inc() }

// LoginNotMoved counts a login that stayed with the pool that greeted, although a route may or does lead elsewhere. The
// reason is one of a closed set.
func (l *Listener) LoginNotMoved(reason string) { l.count(&l.unmoved, reason) }

func (l *Listener) count(counters *bound, reason string) {
	key := boundKey{reason}
	if counter := counters.get(key); counter != nil {
		counter.Inc()
		return
	}
	l.metrics.mu.Lock()
	defer l.metrics.mu.Unlock()
	if l.removed {
		return
	}
	counters.bind(key).Inc()
}

// RemoveListener removes all series of a listener, also those of its sessions. Handles that are still
// held go on counting into nothing. It does nothing when the name is not known.
func (m *Metrics) RemoveListener(name string) {
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.mu.listeners[name]
	if l == nil {
		return
	}
	delete(m.mu.listeners, name)
	l.removed = true
	for _, b := range m.mu.backends {
		b.ends.drop(name)
	}
	series := prometheus.Labels{"listener": name}
	m.accepts.DeletePartialMatch(series)
	m.rejects.DeletePartialMatch(series)
	m.moved.DeletePartialMatch(series)
	m.unmoved.DeletePartialMatch(series)
	m.sessions.DeletePartialMatch(series)
}
