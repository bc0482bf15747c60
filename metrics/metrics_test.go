package metrics

import (
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// contract lists every metric that dashboards and alerts outside rely on, with exactly its labels.
var contract = map[string][]string{
	"fairlead_listener_accepts_total":    {"listener"},
	"fairlead_listener_rejects_total":    {"listener", "reason"},
	"fairlead_logins_moved_total":        {"listener"},
	"fairlead_logins_not_moved_total":    {"listener", "reason"},
	"fairlead_backend_state":             {"backend", "pool", "state"},
	"fairlead_backend_sessions":          {"backend", "pool"},
	"fairlead_backend_former_sessions":   {"backend", "pool"},
	"fairlead_backend_transitions_total": {"backend", "from", "pool", "to"},
	"fairlead_sessions_total":            {"backend", "end", "listener", "pool"},
	"fairlead_bytes_total":               {"backend", "direction", "pool"},
	"fairlead_connect_seconds":           {"backend", "pool"},
	"fairlead_greeting_seconds":          {"backend", "pool"},
	"fairlead_session_seconds":           {"backend", "pool"},
	"fairlead_probe_seconds":             {"backend", "pool"},
	"fairlead_redispatches_total":        {"backend", "pool", "reason"},
	"fairlead_probe_failures_total":      {"backend", "pool", "reason"},
	"fairlead_config_reloads_total":      {"result"},
	"fairlead_upgrades_total":            {"result"},
	"fairlead_build_info":                {"go_version", "revision", "version"},
	"fairlead_pool_queue":                {"pool"},
	"fairlead_discoveries_total":         {"pool", "result"},
	"fairlead_discovery_members":         {"pool"},
}

// everything returns metrics in which every series has happened for the listener l and the backend p/b.
func everything() *Metrics {
	m := New(BuildInfo{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"})
	l := m.Listener("l")
	l.Accepts()
	l.Reject("cap")
	l.LoginMoved()
	l.LoginNotMoved("tls")
	use(m.Backend("p", "b"))
	m.Reload(ReloadSuccess)
	found := m.Discovery("d")
	found.Asked(DiscoverySuccess)
	found.Members(3)
	m.Observe(func() Samples {
		return Samples{
			Backends: []BackendSample{{Pool: "p", Backend: "b", State: "up", Sessions: 3}},
			Pools:    []PoolSample{{Pool: "p", Queued: 2}},
		}
	})
	return m
}

func use(b *Backend) {
	b.BytesToServer.Add(10)
	b.BytesToClient.Add(20)
	b.Connect.Observe(0.001)
	b.Greeting.Observe(0.001)
	b.Session.Observe(1)
	b.Probe.Observe(0.001)
	b.Redispatch("refused")
	b.ProbeFailure("connect_refused")
	b.Transition("unknown", "up")
	b.Ended("l", "client_closed")
}

func TestNamesAndLabelsAreTheContract(t *testing.T) {
	families, err := everything().Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string][]string)
	runtime := map[string]bool{"go_goroutines": false, "process_open_fds": false}
	for _, family := range families {
		if _, ok := runtime[family.GetName()]; ok {
			runtime[family.GetName()] = true
		}
		if !strings.HasPrefix(family.GetName(), "fairlead_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, pair := range metric.GetLabel() {
				labels = append(labels, pair.GetName())
			}
			slices.Sort(labels)
			got[family.GetName()] = labels
			if !slices.Equal(labels, contract[family.GetName()]) {
				t.Errorf("%s has the labels %v, want %v", family.GetName(), labels, contract[family.GetName()])
			}
		}
	}
	for name := range maps.Keys(contract) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for name, seen := range runtime {
		if !seen {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(everything().Registry())
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

func TestCounts(t *testing.T) {
	m := everything()
	m.Backend("p", "").Ended("l", "no_backend")
	m.Backend("p", "").Redispatch("refused") // a pool without a backend counts ends alone
	expect(t, m, `
		# HELP fairlead_sessions_total Sessions that have ended, by how they ended; backend is empty when none was reached.
		# TYPE fairlead_sessions_total counter
		fairlead_sessions_total{backend="",end="no_backend",listener="l",pool="p"} 1
		fairlead_sessions_total{backend="b",end="client_closed",listener="l",pool="p"} 1
		# HELP fairlead_backend_state State of a backend: 1 for the present one, 0 for the others.
		# TYPE fairlead_backend_state gauge
		fairlead_backend_state{backend="b",pool="p",state="disabled"} 0
		fairlead_backend_state{backend="b",pool="p",state="down"} 0
		fairlead_backend_state{backend="b",pool="p",state="draining"} 0
		fairlead_backend_state{backend="b",pool="p",state="unknown"} 0
		fairlead_backend_state{backend="b",pool="p",state="up"} 1
		# HELP fairlead_backend_sessions Sessions on a backend now.
		# TYPE fairlead_backend_sessions gauge
		fairlead_backend_sessions{backend="b",pool="p"} 3
		# HELP fairlead_pool_queue Clients that wait for a place on any backend of a pool now.
		# TYPE fairlead_pool_queue gauge
		fairlead_pool_queue{pool="p"} 2
		# HELP fairlead_bytes_total Bytes moved, by direction: to_server or to_client.
		# TYPE fairlead_bytes_total counter
		fairlead_bytes_total{backend="b",direction="to_client",pool="p"} 20
		fairlead_bytes_total{backend="b",direction="to_server",pool="p"} 10
		# HELP fairlead_redispatches_total Clients led to another backend because this one failed them, by reason.
		# TYPE fairlead_redispatches_total counter
		fairlead_redispatches_total{backend="b",pool="p",reason="refused"} 1
		# HELP fairlead_backend_transitions_total Changes of a backend's state.
		# TYPE fairlead_backend_transitions_total counter
		fairlead_backend_transitions_total{backend="b",from="unknown",pool="p",to="up"} 1
		# HELP fairlead_config_reloads_total Reloads of the configuration, by result.
		# TYPE fairlead_config_reloads_total counter
		fairlead_config_reloads_total{result="failure"} 0
		fairlead_config_reloads_total{result="success"} 1
	`, "fairlead_sessions_total", "fairlead_backend_state", "fairlead_backend_sessions", "fairlead_pool_queue",
		"fairlead_bytes_total", "fairlead_redispatches_total", "fairlead_backend_transitions_total",
		"fairlead_config_reloads_total")
}

func expect(t *testing.T, m *Metrics, text string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(m.Registry(), strings.NewReader(text), names...); err != nil {
		t.Error(err)
	}
}

// series lists the series, other than those a scrape samples, that bear a label value.
func series(t *testing.T, m *Metrics, label, value string) []string {
	t.Helper()
	m.Observe(nil)
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				if pair.GetName() == label && pair.GetValue() == value {
					found = append(found, fmt.Sprintf("%s%v", family.GetName(), metric.GetLabel()))
				}
			}
		}
	}
	return found
}

func TestHandlesAreTheSame(t *testing.T) {
	m := New(BuildInfo{})
	backend, listener := m.Backend("p", "b"), m.Listener("l")
	if m.Backend("p", "b") != backend || m.Listener("l") != listener {
		t.Error("two handles for the same names")
	}
	if m.Backend("p", "b") == m.Backend("q", "b") {
		t.Error("one handle for two pools")
	}
}

func TestRemoveBackendRemovesAllForGood(t *testing.T) {
	m := everything()
	other := m.Backend("q", "b") // the same name in another pool
	other.Redispatch("refused")
	late := m.Backend("p", "b")
	m.RemoveBackend("p", "b")
	if found := series(t, m, "pool", "p"); found != nil {
		t.Fatalf("left behind: %v", found)
	}
	use(late) // bound series
	late.Ended("l", "backend_dead")
	late.Redispatch("silent")
	late.ProbeFailure("greeting_timeout")
	late.Transition("up", "down")
	m.RemoveBackend("p", "b")
	if found := series(t, m, "pool", "p"); found != nil {
		t.Fatalf("a late handle recreated: %v", found)
	}
	if found := series(t, m, "pool", "q"); found == nil {
		t.Fatal("the backend of another pool went too")
	}
	again := m.Backend("p", "b")
	late.Ended("l", "client_closed")
	again.Ended("l", "client_closed")
	expect(t, m, `
		# HELP fairlead_sessions_total Sessions that have ended, by how they ended; backend is empty when none was reached.
		# TYPE fairlead_sessions_total counter
		fairlead_sessions_total{backend="b",end="client_closed",listener="l",pool="p"} 1
	`, "fairlead_sessions_total")
}

func TestRemoveListenerRemovesItsSessionsToo(t *testing.T) {
	m := everything()
	late, b := m.Listener("l"), m.Backend("p", "b")
	m.RemoveListener("l")
	m.RemoveListener("l")
	late.Accepts()
	late.Reject("cap")
	late.Reject("rate")
	b.Ended("l", "client_closed")
	b.Ended("l", "server_closed")
	if found := series(t, m, "listener", "l"); found != nil {
		t.Fatalf("left behind: %v", found)
	}
	m.Listener("l")
	b.Ended("l", "client_closed")
	expect(t, m, `
		# HELP fairlead_sessions_total Sessions that have ended, by how they ended; backend is empty when none was reached.
		# TYPE fairlead_sessions_total counter
		fairlead_sessions_total{backend="b",end="client_closed",listener="l",pool="p"} 1
	`, "fairlead_sessions_total")
}

// Sessions end, and scrapes come, while backends and listeners come and go.
func TestRemovalRacesWithUse(t *testing.T) {
	m := everything()
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 200 {
				m.Listener("l").Reject(fmt.Sprint(i % 3))
				b := m.Backend("p", fmt.Sprint(i%3))
				if i%2 == 0 && worker == 0 {
					m.RemoveBackend("p", fmt.Sprint(i%3))
				}
				if i%50 == 0 && worker == 1 {
					m.RemoveListener("l")
				}
				use(b)
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			if _, err := m.Registry().Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, b := range []string{"0", "1", "2", "b"} {
		m.RemoveBackend("p", b)
	}
	if found := series(t, m, "pool", "p"); found != nil {
		t.Fatalf("left behind: %v", found)
	}
}

func TestConcurrentFirstUseCountsAll(t *testing.T) {
	m := New(BuildInfo{})
	m.Listener("l")
	b := m.Backend("p", "b")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				b.Ended("l", fmt.Sprint(i%10))
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		counter := m.sessions.With(prometheus.Labels{"listener": "l", "pool": "p", "backend": "b", "end": fmt.Sprint(i)})
		if got := testutil.ToFloat64(counter); got != 80 {
			t.Errorf("end %d counted %v times, want 80", i, got)
		}
	}
}

func TestHandlerServesAndSurvivesAnyName(t *testing.T) {
	m := everything()
	m.Backend("p", "\xff\xfe\"\n").Redispatch("refused")
	m.Observe(func() Samples {
		return Samples{Backends: []BackendSample{{Pool: "p", Backend: "\xff", State: "down"}}}
	})
	response := httptest.NewRecorder()
	m.Handler().ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(response.Result().Body)
	if response.Code != 200 {
		t.Fatalf("status %d", response.Code)
	}
	for _, line := range []string{
		`fairlead_build_info{go_version="go1.26",revision="abc",version="1.2.3"} 1`,
		"fairlead_backend_state{backend=\"\uFFFD\",pool=\"p\",state=\"down\"} 1",
		`fairlead_connect_seconds_bucket{backend="b",pool="p",le="0.0001"} 0`,
		`fairlead_connect_seconds_bucket{backend="b",pool="p",le="10"} 1`,
	} {
		if !strings.Contains(string(body), line) {
			t.Errorf("no line %s", line)
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	m := everything()
	l, b := m.Listener("l"), m.Backend("p", "b")
	if n := testing.AllocsPerRun(100, func() {
		l.Accepts()
		l.Reject("cap")
		use(b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnded(b *testing.B) {
	backend := everything().Backend("p", "b")
	b.ReportAllocs()
	for b.Loop() {
		backend.Ended("l", "client_closed")
	}
}

func BenchmarkReject(b *testing.B) {
	listener := everything().Listener("l")
	b.ReportAllocs()
	for b.Loop() {
		listener.Reject("cap")
	}
}
