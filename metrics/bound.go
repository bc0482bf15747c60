package metrics

import (
	"maps"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// boundKey holds the one or two label values that a handle does not know beforehand, such as listener
// and end. The second is empty where there is one.
type boundKey [2]string

// bound is a set of counters of one handle, each resolved at its first use. Reading takes no lock and
// allocates nothing; the map is copied when it grows, which its few possible keys make rare.
type bound struct {
	vec      *prometheus.CounterVec // with the handle's own labels filled in
	labels   int                    // how many are left: 1 or 2
	counters atomic.Pointer[map[boundKey]prometheus.Counter]
}

func (b *bound) init(vec *prometheus.CounterVec, own prometheus.Labels, labels int) {
	b.vec, b.labels = vec.MustCurryWith(own), labels
}

// get returns the counter of a key, or nil when it has not been bound.
func (b *bound) get(key boundKey) prometheus.Counter {
	if counters := b.counters.Load(); counters != nil {
		return (*counters)[key]
	}
	return nil
}

// bind makes the counter of a key. The caller holds Metrics.mu and has seen that the handle is not removed.
func (b *bound) bind(key boundKey) prometheus.Counter {
	values := []string{clean(key[0]), clean(key[1])}
	counter := b.vec.WithLabelValues(values[:b.labels]...)
	next := make(map[boundKey]prometheus.Counter)
	if counters := b.counters.Load(); counters != nil {
		maps.Copy(next, *counters)
	}
	next[key] = counter
	b.counters.Store(&next)
	return counter
}

// drop forgets all keys whose first value is first. The caller holds Metrics.mu.
func (b *bound) drop(first string) {
	counters := b.counters.Load()
	if counters == nil {
		return
	}
	next := maps.Clone(*counters)
	maps.DeleteFunc(next, func(key boundKey, _ prometheus.Counter) bool { return clean(key[0]) == first })
	b.counters.Store(&next)
}
