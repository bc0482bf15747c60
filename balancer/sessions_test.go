package balancer

import (
	"log/slog"
	"net/netip"
	"sync"
	"testing"

	"fairlead/metrics"
)

// liveBalancer has one pool with one backend, and no engine.
func liveBalancer() (*Balancer, *Pool, *Backend) {
	p := newPool(PoolConfig{Name: "fe", Protocol: MySQL, Policy: LeastConnections}, slog.New(slog.DiscardHandler),
		metrics.New(metrics.BuildInfo{}), nobodyWatches{})
	b := p.add(BackendConfig{Address: "127.0.0.1:1", Weight: 1}, "one", "127.0.0.1",
		[]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, false)
	return balancerOf(p), p, b
}

// hold takes a place for a session with that number.
func hold(t *testing.T, p *Pool, l *Listener, id uint64) *session {
	t.Helper()
	s := &session{id: id, listener: l, pool: p, client: netip.MustParseAddrPort("127.0.0.1:5000")}
	lease, err := p.Acquire(Request{holder: s})
	if err != nil {
		t.Fatal(err)
	}
	s.lease = lease
	return s
}

func TestLiveSessions(t *testing.T) {
	b, p, backend := liveBalancer()
	l := &Listener{name: "mysql"}
	const count = 3*leasesAtOnce + 1
	var held []*session
	for id := range uint64(count) {
		held = append(held, hold(t, p, l, id+1))
	}
	told := held[7]
	told.login = identity{connectionID: 42, user: newWord("ann"), database: newWord("sales"), program: newWord("report")}
	told.toServer.Store(10)
	told.toClient.Store(20)
	told.begun.Store(true)
	held[8].login.user = newWord("not to be read yet")

	all := b.LiveSessions()
	if len(all) != count {
		t.Fatalf("%d sessions, want %d", len(all), count)
	}
	for i, s := range all {
		if s.ID != uint64(i+1) || s.Backend != "one" || s.Pool != "fe" || s.Listener != "mysql" || s.LoggedIn != (i == 7) {
			t.Fatalf("session %d: %+v", i, s)
		}
	}
	if s := all[7]; s.ConnectionID != 42 || s.User != "ann" || s.Database != "sales" || s.Program != "report" ||
		s.ToServer != 10 || s.ToClient != 20 {
		t.Errorf("a session that has logged in: %+v", s)
	}
	if all[8].User != "" {
		t.Errorf("a session being set up tells %q", all[8].User)
	}
	for _, s := range held {
		s.lease.Release()
	}
	if all := b.LiveSessions(); len(all) != 0 || backend.mu.sessions != 0 || backend.mu.leases.first != nil {
		t.Errorf("at the end: %d sessions listed, %d counted", len(all), backend.mu.sessions)
	}
}

// TestLiveSessionsWhileTheyComeAndGo: a listing finds every session that is there all the time, once, and disturbs no count.
func TestLiveSessionsWhileTheyComeAndGo(t *testing.T) {
	b, p, backend := liveBalancer()
	l := &Listener{name: "mysql"}
	const staying = 2 * leasesAtOnce
	for id := range uint64(staying) {
		hold(t, p, l, id+1)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			for id := uint64(staying + 1); ; id++ {
				select {
				case <-stop:
					return
				default:
					hold(t, p, l, id).lease.Release()
				}
			}
		})
		running.Go(func() {
			for range 50 {
				seen := map[uint64]int{}
				for _, s := range b.LiveSessions() {
					seen[s.ID]++
				}
				for id := range uint64(staying) {
					if seen[id+1] != 1 {
						t.Errorf("session %d was listed %d times", id+1, seen[id+1])
						return
					}
				}
			}
		})
	}
	for range 50 {
		b.LiveSessions()
	}
	close(stop)
	running.Wait()
	if backend.mu.sessions != staying || p.mu.seats[0].sessions != staying {
		t.Errorf("%d and %d sessions are counted, want %d", backend.mu.sessions, p.mu.seats[0].sessions, staying)
	}
}

func TestStateText(t *testing.T) {
	for s := Unknown; s <= Disabled; s++ {
		text, err := s.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back State
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%v became %v: %v", s, back, err)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("asleep")); err == nil {
		t.Error("asleep was taken for a state")
	}
}

// TestSessionsOfBackendsThatHaveLeft: they are listed as long as they last.
func TestSessionsOfBackendsThatHaveLeft(t *testing.T) {
	b, p, backend := liveBalancer()
	s := hold(t, p, &Listener{name: "mysql"}, 7)
	p.remove(backend)
	if all := b.LiveSessions(); len(all) != 1 || all[0].ID != 7 || all[0].Backend != "one" {
		t.Errorf("listed: %+v", all)
	}
	s.lease.Release()
	if all := b.LiveSessions(); len(all) != 0 {
		t.Errorf("listed after its end: %+v", all)
	}
}
