package metrics

import "github.com/prometheus/client_golang/prometheus"

// Results of asking a cluster for its members, for [Discovery.Asked].
const (
	DiscoverySuccess  = "success"  // a list that is in force now
	DiscoveryFailure  = "failure"  // no seed gave a list
	DiscoveryRejected = "rejected" // a list that is not believed, such as one that is shorter than the pool's minimum
)

// Discovery counts how the members of a pool are found. Get it once from [Metrics.Discovery] and keep it.
type Discovery struct {
	results map[string]prometheus.Counter
	members prometheus.Gauge
}

// Discovery returns the handle of a pool's discovery, whose series all begin at 0.
func (m *Metrics) Discovery(pool string) *Discovery {
	pool = clean(pool)
	d := &Discovery{results: map[string]prometheus.Counter{}, members: m.discovered.WithLabelValues(pool)}
	for _, result := range []string{DiscoverySuccess, DiscoveryFailure, DiscoveryRejected} {
		d.results[result] = m.discoveries.WithLabelValues(pool, result)
	}
	return d
}

// Asked counts a time that the cluster was asked, by its result, one of the constants.
func (d *Discovery) Asked(result string) {
	if counter := d.results[result]; counter != nil {
		counter.Inc()
	}
}

// Members says how many members the list in force has.
func (d *Discovery) Members(n int) { d.members.Set(float64(n)) }

// RemoveDiscovery removes the series of a pool's discovery. Handles that are still held go on counting into nothing.
func (m *Metrics) RemoveDiscovery(pool string) {
	series := prometheus.Labels{"pool": clean(pool)}
	m.discoveries.DeletePartialMatch(series)
	m.discovered.DeletePartialMatch(series)
}
