package metrics

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace begins the name of every metric of the balancer's own.
const namespace = "fairlead"

// Results of a reload, for [Metrics.Reload].
const (
	ReloadSuccess = "success"
	ReloadFailure = "failure"
	// Of an upgrade, for [Metrics.Upgrade].
	UpgradeSuccess = "success"
	UpgradeFailure = "failure"
)

var (
	// stageBuckets suits what is waited for on the way to a session, in seconds: from a connect on the
	// same switch to a server that is about to be given up.
	stageBuckets = []float64{
		0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
	}
	// sessionBuckets suits whole sessions, in seconds: from one fast statement to the 8 hours after which
	// servers cut idle connections by default (wait_timeout 28800), and longer.
	sessionBuckets = []float64{
		0.001, 0.01, 0.1, 1, 10, 60, 300, 1800, 3600, 14400, 28800, 86400,
	}
)

// BuildInfo says which build runs; it becomes fairlead_build_info. Empty fields stay empty.
type BuildInfo struct {
	Version   string
	Revision  string
	GoVersion string
}

// Metrics is the set of all metrics of one balancer. All methods may be called at the same time.
type Metrics struct {
	registry *prometheus.Registry
	source   atomic.Pointer[func() Samples]

	accepts     *prometheus.CounterVec   // listener
	rejects     *prometheus.CounterVec   // listener, reason
	moved       *prometheus.CounterVec   // listener
	unmoved     *prometheus.CounterVec   // listener, reason
	sessions    *prometheus.CounterVec   // listener, pool, backend, end
	bytes       *prometheus.CounterVec   // pool, backend, direction
	connect     *prometheus.HistogramVec // pool, backend; so are the next three
	greeting    *prometheus.HistogramVec
	session     *prometheus.HistogramVec
	probe       *prometheus.HistogramVec
	redispatch  *prometheus.CounterVec // pool, backend, reason
	probeFails  *prometheus.CounterVec // pool, backend, reason
	transitions *prometheus.CounterVec // pool, backend, from, to
	discoveries *prometheus.CounterVec // pool, result
	discovered  *prometheus.GaugeVec   // pool
	reloads     *prometheus.CounterVec // result
	upgrades    *prometheus.CounterVec // result
	reloaded    prometheus.Gauge       // whether the latest reload succeeded

	// mu makes binding and removing one step each: a series is only made for a handle that has not been
	// removed, so what was removed stays removed.
	mu struct {
		sync.Mutex
		listeners map[string]*Listener
		backends  map[backendName]*Backend
	}
}

// New returns metrics on a registry of their own, with those of the Go runtime and of the process.
func New(build BuildInfo) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.mu.listeners = make(map[string]*Listener)
	m.mu.backends = make(map[backendName]*Backend)
	m.register(build)
	m.reloads.WithLabelValues(ReloadSuccess)
	m.reloads.WithLabelValues(ReloadFailure)
	m.upgrades.WithLabelValues(UpgradeSuccess)
	m.upgrades.WithLabelValues(UpgradeFailure)
	m.reloaded.Set(1)
	return m
}

func (m *Metrics) register(build BuildInfo) {
	m.accepts = m.counter("listener_accepts_total", "Connections accepted from clients.", "listener")
	m.rejects = m.counter("listener_rejects_total",
		"Connections turned away before they reached a backend, by reason.", "listener", "reason")
	m.moved = m.counter("logins_moved_total", "Logins moved to the pool that a route names.", "listener")
	m.unmoved = m.counter("logins_not_moved_total",
		"Logins that stayed with the pool that greeted, where a route might lead elsewhere, by reason.", "listener", "reason")
	m.sessions = m.counter("sessions_total",
		"Sessions that have ended, by how they ended; backend is empty when none was reached.",
		"listener", "pool", "backend", "end")
	m.bytes = m.counter("bytes_total",
		"Bytes moved, by direction: to_server or to_client.", "pool", "backend", "direction")
	m.connect = m.histogram("connect_seconds", "Time of TCP connects to a backend for clients.", stageBuckets)
	m.greeting = m.histogram("greeting_seconds",
		"Time from the TCP connect to the backend's greeting.", stageBuckets)
	m.session = m.histogram("session_seconds", "Time from accept to the end of a session.", sessionBuckets)
	m.probe = m.histogram("probe_seconds", "Time of health probes, failed ones too.", stageBuckets)
	m.redispatch = m.counter("redispatches_total",
		"Clients led to another backend because this one failed them, by reason.", "pool", "backend", "reason")
	m.probeFails = m.counter("probe_failures_total",
		"Health probes that found a backend unfit or leaving, by reason.", "pool", "backend", "reason")
	m.transitions = m.counter("backend_transitions_total",
		"Changes of a backend's state.", "pool", "backend", "from", "to")
	m.discoveries = m.counter("discoveries_total",
		"Times that a cluster was asked for its members, by result.", "pool", "result")
	m.discovered = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "discovery_members", Help: "Members of a pool in the list that discovery has put in force.",
	}, []string{"pool"})
	m.reloads = m.counter("config_reloads_total", "Reloads of the configuration, by result.", "result")
	m.upgrades = m.counter("upgrades_total", "Upgrades of the binary: the new process counts a success, the old one a failure.", "result")
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "config_last_reload_successful",
		Help: "1 if the configuration as it was read last is in force, 0 if it could not be applied."})
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say which build runs.",
			ConstLabels: prometheus.Labels{
				"version": clean(build.Version), "revision": clean(build.Revision), "go_version": clean(build.GoVersion),
			},
		}, func() float64 { return 1 }),
		sampler{m},
		m.discovered,
		m.reloaded,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
}

// Registry is where all metrics are registered.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Handler answers a scrape, whatever the path. What can't be gathered is left out: half a page is
// worth more to someone who looks for a fault than none.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// Reload counts a reload of the configuration: [ReloadSuccess] or [ReloadFailure].
func (m *Metrics) Reload(result string) {
	m.reloads.WithLabelValues(clean(result)).Inc()
	successful := 0.0
	if result == ReloadSuccess {
		successful = 1
	}
	m.reloaded.Set(successful)
}

// Upgrade counts an upgrade of the binary: [UpgradeSuccess] or [UpgradeFailure].
func (m *Metrics) Upgrade(result string) { m.upgrades.WithLabelValues(clean(result)).Inc() }

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(vec)
	return vec
}

func (m *Metrics) histogram(name, help string, buckets []float64) *prometheus.HistogramVec {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
	}, []string{"pool", "backend"})
	m.registry.MustRegister(vec)
	return vec
}

// clean makes any text fit to be a label value: the client library panics over invalid UTF-8, and the
// name of a discovered backend is a server's text.
func clean(value string) string { return strings.ToValidUTF8(value, "\uFFFD") }
