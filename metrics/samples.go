package metrics

import "github.com/prometheus/client_golang/prometheus"

// states are all states of a backend, each a series of its own.
var states = [...]string{"unknown", "up", "draining", "down", "disabled"}

// Samples is what a scrape reads of the pools as they are at that moment.
type Samples struct {
	Backends []BackendSample
	Pools    []PoolSample
}

// BackendSample is the present state of one backend. Each pair of pool and backend may occur once.
type BackendSample struct {
	Pool, Backend string
	// State is unknown, up, draining, down or disabled.
	State string
	// Sessions counts the sessions that hold a place on the backend now.
	Sessions int
	// Former counts those of processes from before an upgrade, which go on there.
	Former int
}

// PoolSample is the present state of one pool.
type PoolSample struct {
	Pool string
	// Queued counts the clients that wait for a place now.
	Queued int
}

// Observe sets where scrapes read their samples; nil for nowhere. It is called once for each scrape, also by
// several scrapes at the same time.
func (m *Metrics) Observe(source func() Samples) {
	if source == nil {
		m.source.Store(nil)
		return
	}
	m.source.Store(&source)
}

var (
	stateDesc = prometheus.NewDesc(namespace+"_backend_state",
		"State of a backend: 1 for the present one, 0 for the others.", []string{"pool", "backend", "state"}, nil)
	sessionsDesc = prometheus.NewDesc(namespace+"_backend_sessions",
		"Sessions on a backend now.", []string{"pool", "backend"}, nil)
	formerDesc = prometheus.NewDesc(namespace+"_backend_former_sessions",
		"Sessions on a backend now that processes from before an upgrade carry on.", []string{"pool", "backend"}, nil)
	queueDesc = prometheus.NewDesc(namespace+"_pool_queue",
		"Clients that wait for a place on any backend of a pool now.", []string{"pool"}, nil)
)

// sampler is the collector behind [Metrics.Observe].
type sampler struct{ metrics *Metrics }

func (s sampler) Describe(descs chan<- *prometheus.Desc) {
	descs <- stateDesc
	descs <- sessionsDesc
	descs <- formerDesc
	descs <- queueDesc
}

func (s sampler) Collect(out chan<- prometheus.Metric) {
	source := s.metrics.source.Load()
	if source == nil {
		return
	}
	samples := (*source)()
	for _, b := range samples.Backends {
		pool, backend := clean(b.Pool), clean(b.Backend)
		out <- gauge(sessionsDesc, float64(b.Sessions), pool, backend)
		out <- gauge(formerDesc, float64(b.Former), pool, backend)
		for _, state := range states {
			present := 0.0
			if state == b.State {
				present = 1
			}
			out <- gauge(stateDesc, present, pool, backend, state)
		}
	}
	for _, p := range samples.Pools {
		out <- gauge(queueDesc, float64(p.Queued), clean(p.Pool))
	}
}

func gauge(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}
