package balancer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// gateRig is a gate with what it is to decide.
type gateRig struct {
	*gate
	config GateConfig
}

func newGateRig(c GateConfig) gateRig { return gateRig{newGate(c), c} }

func (r gateRig) admit(client netip.Addr) (*pass, string) { return r.gate.admit(&r.config, client) }

// gateAt is a gate with a clock of its own.
func gateAt(c GateConfig) (g gateRig, pass func(time.Duration)) {
	g = newGateRig(c)
	now := time.Unix(1_000_000, 0)
	g.now = func() time.Time { return now }
	return g, func(d time.Duration) { now = now.Add(d) }
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

// nth is one of 2^24 IPv4 addresses.
func nth(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i))
	return netip.AddrFrom4(b)
}

func TestGateNetworks(t *testing.T) {
	c := GateConfig{Allow: networks("10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"), Deny: networks("10.6.6.0/24", "2001:db8:bad::/48")}
	for client, want := range map[string]string{
		"10.1.2.3": "", "::ffff:10.1.2.3": "", "192.0.2.7": "", "2001:db8::1": "", "10.6.6.6": rejectDenied, "::ffff:10.6.6.6": rejectDenied,
		"192.0.2.8": rejectDenied, "2001:db8:bad::1": rejectDenied, "fe80::1%eth0": rejectDenied,
	} {
		g, _ := gateAt(c)
		if _, reason := g.admit(ip(client)); reason != want {
			t.Errorf("%s: %q, want %q", client, reason, want)
		}
	}
	g, _ := gateAt(GateConfig{Deny: networks("10.0.0.0/8", "fe80::/10")})
	for client, want := range map[string]string{"11.0.0.1": "", "2001:db8::1": "", "10.0.0.1": rejectDenied, "fe80::1%eth0": rejectDenied} {
		if _, reason := g.admit(ip(client)); reason != want {
			t.Errorf("without allow: %s: %q, want %q", client, reason, want)
		}
	}
	if c := (GateConfig{}); c.restricts() {
		t.Error("a gate that lets everybody in costs something")
	}
}

func TestGateSessionsOfASource(t *testing.T) {
	g, _ := gateAt(GateConfig{MaxSessionsPerSource: 2})
	first, _ := g.admit(ip("2001:db8::1"))
	second, _ := g.admit(ip("2001:db8:0:0:ffff::2")) // of the same /64
	if _, reason := g.admit(ip("2001:db8::3")); reason != rejectSourceFull {
		t.Errorf("a third one of the network: %q", reason)
	}
	other, reason := g.admit(ip("2001:db8:0:1::1"))
	if reason != "" {
		t.Errorf("one of another network: %q", reason)
	}
	first.release()
	first.release() // counts once
	third, reason := g.admit(ip("2001:db8::3"))
	if reason != "" {
		t.Errorf("after a place came free: %q", reason)
	}
	if _, reason := g.admit(ip("2001:db8::4")); reason != rejectSourceFull {
		t.Errorf("a place was given back twice: %q", reason)
	}
	for _, p := range []*pass{second, third, other, nil} {
		p.release()
	}
	if len(g.mu.sources) != 0 || g.mu.idle.first != nil || g.mu.idle.last != nil {
		t.Errorf("%d sources are left", len(g.mu.sources))
	}
}

func TestGateRates(t *testing.T) {
	g, wait := gateAt(GateConfig{Rate: 100, RateBurst: 5, RatePerSource: 2, RatePerSourceBurst: 3})
	reasons := func(client string, n int) string {
		all := ""
		for range n {
			p, reason := g.admit(ip(client))
			p.release()
			all += map[string]string{"": "+", rejectSourceRate: "s", rejectListenerRate: "l"}[reason]
		}
		return all
	}
	for i, step := range []struct {
		wait   time.Duration
		client string
		n      int
		want   string
	}{
		{0, "10.0.0.1", 5, "+++ss"}, // its burst; what is refused is not charged to all
		{0, "10.0.0.2", 4, "++ll"},  // the burst of all is used up
		{time.Second, "10.0.0.1", 3, "++s"},
		{0, "10.0.0.3", 3, "+++"},
		{time.Minute, "10.0.0.1", 4, "+++s"},
	} {
		wait(step.wait)
		if got := reasons(step.client, step.n); got != step.want {
			t.Errorf("step %d: %s, want %s", i, got, step.want)
		}
	}
}

// TestGateMemory: as many sources as there may be, and more.
// New rates hold for sources that are known from their next client on, and forgive nothing that is spent.
func TestGateRatesChange(t *testing.T) {
	g, wait := gateAt(GateConfig{RatePerSource: 2, RatePerSourceBurst: 3})
	for i, step := range []struct {
		rate, burst int
		wait        time.Duration
		let         int // of ten
	}{
		{2, 3, 0, 3},
		{2, 8, 0, 0}, // nothing has come back yet
		{2, 8, time.Minute, 8},
		{5, 8, 0, 0},
		{5, 8, time.Second, 5},
		{5, 2, time.Minute, 2},
		{0, 0, 0, 10},
	} {
		g.config.RatePerSource, g.config.RatePerSourceBurst = step.rate, step.burst
		g.configure(g.config)
		wait(step.wait)
		let := 0
		for range 10 {
			if p, reason := g.admit(ip("10.0.0.1")); reason == "" {
				p.release()
				let++
			}
		}
		if let != step.let {
			t.Errorf("step %d: %d are let in, want %d", i, let, step.let)
		}
	}
}

func TestGateMemory(t *testing.T) {
	g, wait := gateAt(GateConfig{MaxSessionsPerSource: 2, RatePerSource: 1})
	g.places = 100
	var held []*pass
	for i := range 60 {
		p, _ := g.admit(nth(i))
		held = append(held, p)
	}
	for i := 60; i < 100; i++ {
		p, _ := g.admit(nth(i))
		p.release() // and its rate has not recovered
	}
	// Those on top are one source together.
	if p, reason := g.admit(nth(1000)); reason != "" {
		t.Errorf("the first without a place: %q", reason)
	} else {
		held = append(held, p)
	}
	if _, reason := g.admit(nth(1001)); reason != rejectSourceRate {
		t.Errorf("the second without a place: %q", reason)
	}
	// The rates have recovered: 40 sources are of no use any more.
	wait(time.Minute)
	for i := range 40 {
		p, reason := g.admit(nth(2000 + i))
		if reason != "" {
			t.Fatalf("%d: %q", i, reason)
		}
		held = append(held, p)
		if n := len(g.mu.sources); n > g.places {
			t.Fatalf("%d sources are kept", n)
		}
	}
	if g.mu.overflow.sessions != 1 {
		t.Errorf("%d sessions without a place", g.mu.overflow.sessions)
	}
	// Who is in the table has not lost its count.
	wait(time.Minute)
	if p, reason := g.admit(nth(7)); reason != "" {
		t.Errorf("the second session of a source: %q", reason)
	} else {
		held = append(held, p)
	}
	wait(time.Minute)
	if _, reason := g.admit(nth(7)); reason != rejectSourceFull {
		t.Errorf("the third session of a source: %q", reason)
	}
	for _, p := range held {
		p.release()
	}
	if g.mu.overflow.sessions != 0 {
		t.Errorf("%d sessions without a place at the end", g.mu.overflow.sessions)
	}
	// The table shrinks by itself.
	for i := range 200 {
		wait(time.Minute)
		p, _ := g.admit(nth(5000 + i))
		p.release()
	}
	if n := len(g.mu.sources); n > 2 {
		t.Errorf("%d sources are kept of one that came last", n)
	}
}

// TestGateBooks: whatever comes and goes at once, no cap is passed, and at the end nobody is counted.
func TestGateBooks(t *testing.T) {
	const most = 3
	g := newGateRig(GateConfig{MaxSessionsPerSource: most})
	g.places = 16
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			var held []*pass
			for range 5000 {
				if p, _ := g.admit(nth(r.IntN(64))); p != nil {
					held = append(held, p)
				}
				for len(held) > r.IntN(8) {
					i := r.IntN(len(held))
					held[i].release()
					held[i] = held[len(held)-1]
					held = held[:len(held)-1]
				}
				g.mu.Lock()
				for a, s := range g.mu.sources {
					if s.sessions < 1 || s.sessions > most {
						t.Errorf("%v has %d sessions", a, s.sessions)
					}
				}
				g.mu.Unlock()
			}
			for _, p := range held {
				p.release()
			}
		})
	}
	all.Wait()
	if len(g.mu.sources) != 0 || g.mu.overflow.sessions != 0 {
		t.Errorf("%d sources are left, and %d sessions without a place", len(g.mu.sources), g.mu.overflow.sessions)
	}
}

// BenchmarkGate: a session that comes and goes, one of so many sources.
func BenchmarkGate(b *testing.B) {
	for _, sources := range []int{1, 10_000, mostSources, 1_000_000} {
		b.Run(fmt.Sprint(sources), func(b *testing.B) {
			g := newGateRig(GateConfig{Deny: networks("192.0.2.0/24"), MaxSessionsPerSource: 100, RatePerSource: 1_000_000})
			b.ReportAllocs()
			b.RunParallel(func(loop *testing.PB) {
				for i := rand.IntN(sources); loop.Next(); i = (i + 7919) % sources {
					p, _ := g.admit(nth(i))
					p.release()
				}
			})
		})
	}
}
