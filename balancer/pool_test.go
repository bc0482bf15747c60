package balancer

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"fairlead/metrics"
)

func TestAcquireAndReleaseAreExact(t *testing.T) {
	for _, policy := range []Policy{LeastConnections, RoundRobin, SourceHash} {
		t.Run(string(policy), func(t *testing.T) {
			r := newRig(t, func(c *PoolConfig) { c.Policy, c.MaxSessions = policy, 30 })
			backends := r.join(nil, "one", "two", "three")
			var clients sync.WaitGroup
			for i := range 64 {
				clients.Go(func() {
					source := clientAddress(i)
					for range 200 {
						if l, err := r.Acquire(Request{Source: source}); err == nil {
							l.Release()
							l.Release()
						}
					}
				})
			}
			clients.Wait()
			for i, b := range backends {
				if b.mu.sessions != 0 || r.mu.seats[i].sessions != 0 || b.mu.leases.first != nil {
					t.Errorf("%v: %d sessions, %d on its seat, leases %v", b, b.mu.sessions, r.mu.seats[i].sessions, b.mu.leases.first)
				}
				if got := r.gauge("backend_sessions", b.Name); got != 0 {
					t.Errorf("%v: the gauge shows %v", b, got)
				}
			}
		})
	}
}

// TestManyAtOnceDoNotBendTheBalance has 64 goroutines take leases and keep them.
func TestManyAtOnceDoNotBendTheBalance(t *testing.T) {
	r := newRig(t, nil)
	weight := int32(0)
	backends := r.join(func(c *BackendConfig) { weight++; c.Weight = int(weight) }, "one", "two", "three")
	var clients sync.WaitGroup
	leases := make(chan *Lease, 64*6)
	for range 64 {
		clients.Go(func() {
			for range 6 {
				leases <- r.take("", Request{})
			}
		})
	}
	clients.Wait()
	for i, b := range backends {
		if want := 64 * (i + 1); b.mu.sessions != want || r.gauge("backend_sessions", b.Name) != float64(want) {
			t.Errorf("%v has %d sessions, the gauge shows %v, want %d", b, b.mu.sessions, r.gauge("backend_sessions", b.Name), want)
		}
	}
	close(leases)
	for l := range leases {
		l.Release()
	}
	for _, b := range backends {
		if b.mu.sessions != 0 || b.mu.total == 0 {
			t.Errorf("%v has %d sessions at the end, and %d in all", b, b.mu.sessions, b.mu.total)
		}
	}
}

func TestCapsHoldUnderLoad(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.MaxSessions = 5 })
	r.join(nil, "one", "two")
	r.join(func(c *BackendConfig) { c.MaxSessions = 2 }, "small")
	var granted, refused int
	for range 20 {
		switch _, err := r.Acquire(Request{}); err {
		case nil:
			granted++
		case ErrFull:
			refused++
		default:
			t.Fatal(err)
		}
	}
	if granted != 12 || refused != 8 {
		t.Errorf("%d granted and %d refused, want 12 and 8", granted, refused)
	}
	if got := r.Status().Backends[2]; got.Sessions != 2 || got.MaxSessions != 2 {
		t.Errorf("the small one: %+v", got)
	}
}

func TestTriedBackendsAreLeftOut(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two", "three")
	r.take("three", Request{Tried: []*Backend{b[0], b[1]}})
	r.refuse(ErrNoBackend, Request{Tried: b})
	r.remove(b[1])
	r.take("three", Request{Tried: []*Backend{b[1], b[0]}})
}

func TestBackupsServeWhenNoOtherIsFit(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.MaxSessions = 1 })
	main := r.join(nil, "main")[0]
	r.join(func(c *BackendConfig) { c.Backup = true }, "backup")
	l := r.take("main", Request{})
	r.refuse(ErrFull, Request{}) // full is fit
	r.judge(main, Unfit)
	spare := r.take("backup", Request{})
	r.refuse(ErrFull, Request{})
	r.judge(main, Fit)
	l.Release()
	spare.Release()
	r.take("main", Request{})
}

func TestLastResort(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two", "three", "four")
	start := time.Now()
	for i, age := range []time.Duration{time.Hour, time.Minute, 0, time.Second} {
		r.succeeded(b[i], start.Add(-age))
	}
	for _, down := range b {
		r.judge(down, Unfit)
	}
	r.Order(b[2], Disable, "a person")
	r.take("four", Request{})
	r.take("two", Request{Tried: []*Backend{b[3]}})
	r.take("one", Request{Tried: []*Backend{b[3], b[1]}})
	r.refuse(ErrNoBackend, Request{Tried: []*Backend{b[3], b[1], b[0]}}) // and never the one that a person took out
	r.judge(b[0], Fit)
	r.take("one", Request{})
}

func TestLastResortIsNotForFullPools(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.MaxSessions = 1 })
	b := r.join(nil, "full", "down")
	r.take("full", Request{Tried: b[1:]})
	r.judge(b[1], Unfit)
	r.refuse(ErrFull, Request{})
	r.judge(b[0], Unfit)
	r.take("down", Request{}) // a cap is a cap, also when all are down
	r.refuse(ErrNoBackend, Request{})
}

func TestLastResortTriesWhoIsLeaving(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "leaving", "drained")
	r.judge(b[0], Leaving)
	r.Order(b[1], Drain, "a person")
	r.take("leaving", Request{})
	r.refuse(ErrNoBackend, Request{Tried: b[:1]})
}

func TestRemoveWhileSessionsAreHeld(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two", "three")
	first, second := r.take("one", Request{}), r.take("two", Request{})
	also := r.take("two", Request{Tried: []*Backend{b[0], b[2]}})
	r.watched.took()
	r.remove(b[1])
	r.remove(b[1]) // once more does nothing
	if got := r.watched.took(); got[0] != "forget two" {
		t.Errorf("the watcher was told %q", got)
	}
	if r.Backend("two") != nil || len(r.Backends()) != 2 {
		t.Fatal("it is still a member")
	}
	r.take("three", Request{})
	r.take("three", Request{Tried: b[:2]})
	r.Report(b[1], Probe{At: time.Now(), Verdict: Unfit, Reason: "x"})
	r.suspect(b[1], "x")
	_ = r.Pool.Order(b[1], Standing{Order: Disable}) // too late
	if len(r.log.with("backend=two", "was=")) != 0 || len(r.watched.took()) != 0 {
		t.Error("something is still made of what happens to a backend that was removed")
	}

	b[1].metrics.BytesToClient.Add(1)
	second.Release()
	if _, there := gauge(t, r.metrics, "bytes_total", "two"); !there {
		t.Error("its series are removed before its last session")
	}
	also.Release()
	also.Release()
	if _, there := gauge(t, r.metrics, "bytes_total", "two"); there {
		t.Error("its series outlive its last session")
	}
	first.Release()
	if r.mu.seats[0].sessions != 0 || r.mu.seats[1].sessions != 2 {
		t.Errorf("the others' counts: %+v", r.mu.seats)
	}
}

func TestRemovedAndBackUnderTheSameName(t *testing.T) {
	r := newRig(t, nil)
	old := r.join(nil, "one")[0]
	l := r.take("one", Request{})
	r.remove(old)
	r.join(nil, "one")
	l.Release()
	if _, there := gauge(t, r.metrics, "bytes_total", "one"); !there {
		t.Error("the last session of the old one has taken the series of the new one with it")
	}
	r.take("one", Request{}).Backend.metrics.BytesToClient.Add(7)
	if got := r.gauge("bytes_total", "one", "to_client"); got != 7 {
		t.Errorf("the new one has moved %v bytes, want 7", got)
	}
}

// TestRemovedAgainAndAgain: a backend that was removed, has come back and was removed once more, each time with a session left,
// is one backend to whoever reads the metrics, and no session is missing there.
func TestRemovedAgainAndAgain(t *testing.T) {
	r := newRig(t, nil)
	balancerOf(r.Pool).SetFormer(Counts{"fe": {"one": 4}})
	var held []*Lease
	check := func(when string, former float64) {
		t.Helper()
		if got := r.gauge("backend_sessions", "one"); got != float64(len(held)) { // fails where two series are the same
			t.Errorf("%s: %v sessions in the metrics, want %d", when, got, len(held))
		}
		if got := r.gauge("backend_former_sessions", "one"); got != former {
			t.Errorf("%s: %v of former processes in the metrics, want %v", when, got, former)
		}
		var own, others int
		for _, b := range r.Status().Backends {
			own, others = own+b.Sessions, others+b.Former
		}
		if own != len(held) || others != int(former) {
			t.Errorf("%s: %d sessions in the status, and %d of former processes; want %d and %v", when, own, others, len(held), former)
		}
		if points := r.remembered(); len(points) != 1 {
			t.Errorf("%s: it has %d histories", when, len(points))
		}
	}
	for range 3 {
		r.join(nil, "one")
		check("when it joins", 4)
		held = append(held, r.take("one", Request{}))
		check("with a session", 4)
		r.remove(r.Backend("one"))
		check("when it is removed", 0)
	}
	held[0].Backend.metrics.BytesToClient.Add(1)
	for len(held) > 0 {
		if _, there := gauge(t, r.metrics, "bytes_total", "one"); !there {
			t.Errorf("its series are removed before the last %d sessions", len(held))
		}
		held[0].Release()
		held = held[1:]
	}
	if _, there := gauge(t, r.metrics, "bytes_total", "one"); there {
		t.Error("its series outlive its last session")
	}
}

func TestWatching(t *testing.T) {
	r := newRig(t, nil)
	r.join(nil, "one")
	named := r.add(BackendConfig{Weight: 1}, "named", "fe9", nil, false)
	r.readdress(named, []netip.AddrPort{netip.MustParseAddrPort("10.0.9.9:9030")})
	r.readdress(named, []netip.AddrPort{netip.MustParseAddrPort("10.0.9.8:9030")})
	r.close()
	want := []string{"watch one", "watch named", "watch named", "forget one", "forget named"}
	if got := r.watched.took(); !slices.Equal(got, want) {
		t.Errorf("the watcher was told %q, want %q", got, want)
	}
}

func TestNoSessionsWithoutAnAddress(t *testing.T) {
	r := newRig(t, nil)
	named := r.add(BackendConfig{Weight: 1}, "named", "fe9", nil, false)
	r.refuse(ErrNoBackend, Request{})
	r.judge(named, Fit)
	r.refuse(ErrNoBackend, Request{})
	r.readdress(named, []netip.AddrPort{netip.MustParseAddrPort("10.0.9.9:9030")})
	r.take("named", Request{})
}

func TestSourceHashAsksForTheSource(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.Policy = SourceHash })
	r.join(nil, "one", "two", "three")
	for i := range 50 {
		request := Request{Source: clientAddress(i)}
		home := r.take("", request).Backend.Name
		for range 3 {
			r.take(home, request)
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	for _, n := range []int{3, 30, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPool(PoolConfig{Name: "fe", Policy: LeastConnections}, slog.New(slog.DiscardHandler),
				metrics.New(metrics.BuildInfo{}), nobodyWatches{})
			for i := range n {
				address := netip.AddrPortFrom(clientAddress(i), 9030)
				p.add(BackendConfig{Weight: 1}, address.String(), address.Addr().String(), []netip.AddrPort{address}, false)
			}
			b.ReportAllocs()
			b.RunParallel(func(each *testing.PB) {
				for each.Next() {
					l, err := p.Acquire(Request{})
					if err != nil {
						b.Fatal(err)
					}
					l.Release()
				}
			})
		})
	}
}
