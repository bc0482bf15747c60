package balancer

import (
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"fairlead/metrics"
)

// still builds a balancer that is never started, so that a test alone reads its counters.
func still(t testing.TB, backends ...BackendConfig) *Balancer {
	t.Helper()
	b, err := New(Config{
		Engine:    EngineConfig{Kind: "goroutines", Pipes: 1, PipeSize: 1 << 16},
		Listeners: []ListenerConfig{{Name: "mysql", Bind: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Pool: "fe", Backlog: 1}},
		Pools: []PoolConfig{{Name: "fe", Protocol: MySQL, Policy: RoundRobin, ConnectTimeout: hang, GreetingTimeout: hang, SetupTimeout: hang,
			QueueTimeout: hang, ResolveInterval: time.Hour, SessionsOnDown: Verify, Backends: backends}},
	}, Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// TestHistory: what sessions do becomes rates in the status, and points; a removed backend keeps its past until its last
// session has ended, unless its name is taken again.
func TestHistory(t *testing.T) {
	b := still(t, BackendConfig{Address: "10.0.0.1:1", Name: "one", Weight: 1}, BackendConfig{Address: "10.0.0.2:1", Name: "two", Weight: 1})
	pool := b.Pool("fe")
	one, two := pool.Backend("one"), pool.Backend("two")
	now := time.Now()
	var leases []*Lease
	second := func() {
		now = now.Add(time.Second)
		b.sample(now)
	}
	second()
	for range 4 {
		for range 2 {
			l, err := pool.Acquire(Request{Tried: []*Backend{two}})
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, l)
		}
		one.metrics.BytesToServer.Add(1000)
		one.metrics.BytesToClient.Add(50)
		one.metrics.Greeting.Observe(.25)
		second()
	}
	pool.Report(two, Probe{At: now, Verdict: Unfit, Reason: "greeting: silence"})

	s := b.Status().Pools[0]
	if got := s.Backends[0]; got.Rates.NewSessions != 2 || got.Rates.ToServer != 1000 || got.Rates.ToClient != 50 ||
		got.Rates.Greeting != 250*time.Millisecond || got.ToServer != 4000 || got.ToClient != 200 {
		t.Errorf("one: %+v", got)
	}
	if s.Rates.NewSessions != 2 || s.Rates.ToServer != 1000 || s.Rates.ToClient != 50 {
		t.Errorf("the pool: %+v", s.Rates)
	}
	h := b.History(0)
	if h.Latest != 1 || h.Step != 5 || h.Points != 180 || len(h.Backends) != 2 {
		t.Fatalf("%+v", h)
	}
	if got := h.Backends[0]; got.Backend != "one" || got.First != 1 || got.State != "?" || !slices.Equal(got.Sessions, []float32{8}) ||
		!slices.Equal(got.ToServer, []float32{1000}) || !slices.Equal(got.Greeting, []float32{250_000}) {
		t.Errorf("one: %+v", got)
	}
	if got := h.Backends[1]; got.Greeting[0] != -1 {
		t.Errorf("two: %+v", got)
	}

	pool.remove(one)
	for range 5 {
		second()
	}
	h = b.History(1)
	if h.Latest != 2 || len(h.Backends) != 2 || h.Backends[0].State != "d" || h.Backends[1].Backend != "one" || h.Backends[1].Sessions[0] != 8 {
		t.Fatalf("after one's removal: %+v", h)
	}
	pool.add(BackendConfig{Address: "10.0.0.1:1", Weight: 1}, "one", "10.0.0.1", nil, false)
	for range 5 {
		second()
	}
	h = b.History(0)
	if len(h.Backends) != 2 || h.Backends[1].Backend != "one" || !slices.Equal(h.Backends[1].Sessions, []float32{0}) {
		t.Fatalf("after another one has joined: %+v", h)
	}
	for _, l := range leases {
		l.Release()
	}
	second()
	if now, _ := b.past.Now(one); now.Total != 0 {
		t.Errorf("still remembered: %+v", now)
	}
}

// TestNamesInStatus: how the look-ups go is told.
func TestNamesInStatus(t *testing.T) {
	naming(t, false, func(t *testing.T, r *poolRig, d *directory) {
		before := r.Pool.roster.status()
		if len(before) != 1 || before[0].Addresses != 2 || before[0].Resolved.IsZero() || before[0].Error != "" || before[0].Host == "" {
			t.Fatalf("%+v", before)
		}
		d.say(errors.New("no such host"))
		next()
		after := r.Pool.roster.status()[0]
		if after.Addresses != 2 || after.Error != "no such host" || after.Failing.IsZero() || !after.Resolved.Equal(before[0].Resolved) {
			t.Fatalf("%+v", after)
		}
		d.say(nil, "10.0.0.7")
		next()
		if s := r.Pool.roster.status()[0]; s.Addresses != 1 || s.Error != "" || !s.Failing.IsZero() {
			t.Fatalf("%+v", s)
		}
	})
}
