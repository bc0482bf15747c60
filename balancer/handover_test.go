package balancer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// handedOver is what a pool hands over, as another process reads it.
func handedOver(t *testing.T, p *Pool) *Handover {
	t.Helper()
	text, err := json.Marshal(balancerOf(p).Handover())
	if err != nil {
		t.Fatal(err)
	}
	var h Handover
	if err := json.Unmarshal(text, &h); err != nil {
		t.Fatal(err)
	}
	return &h
}

// TestHandover: the backends of a pool that takes another one's place are what they were, and nothing is told of it.
func TestHandover(t *testing.T) {
	before := newRig(t, func(c *PoolConfig) { c.SlowStart = time.Hour })
	all := before.join(nil, "up", "down", "leaving", "suspect", "drained", "back", "moved", "unknown")
	for i, v := range []Verdict{Fit, Unfit, Leaving, Fit, Fit, Unfit, Fit} {
		before.judge(all[i], v)
	}
	before.suspect(all[3], "connect: refused")
	before.Order(all[4], Drain, "a person")
	before.judge(all[5], Fit)
	before.Order(all[6], Disable, "a person")
	gone := before.join(nil, "gone")[0]
	before.Order(gone, Disable, "a person")
	before.remove(gone)
	want := before.Status()

	after := newRig(t, func(c *PoolConfig) { c.SlowStart = time.Hour })
	after.expect(handedOver(t, before.Pool))
	after.join(func(c *BackendConfig) {
		if c.Name == "moved" {
			c.Address = "10.9.9.9:9030"
		}
	}, "up", "down", "leaving", "suspect", "drained", "back", "moved", "unknown")
	balancerOf(after.Pool).ForgetHandover()
	got := after.Status()
	for i, w := range want.Backends {
		g := got.Backends[i]
		if w.Name == "moved" {
			if g.State != Disabled || after.Backend("moved").Known() != Undecided {
				t.Errorf("another server of the same name is %v, and known as %v", g.State, after.Backend("moved").Known())
			}
			continue
		}
		if g.State != w.State || g.Reason != w.Reason || !g.Since.Round(0).Equal(w.Since.Round(0)) || g.Order != w.Order || g.OrderedBy != w.OrderedBy ||
			!g.Probed.Round(0).Equal(w.Probed.Round(0)) {
			t.Errorf("handed over:\n%+v\nhas become:\n%+v", w, g)
		}
		if (g.SlowStart > 0) != (w.Name == "back") {
			t.Errorf("%s has %v of its weight", g.Name, g.SlowStart)
		}
	}
	for name, want := range map[string]Verdict{"up": Fit, "down": Unfit, "leaving": Leaving, "suspect": Undecided, "unknown": Undecided} {
		if got := after.Backend(name).Known(); got != want {
			t.Errorf("%s is known as %v, want %v", name, got, want)
		}
	}
	if len(got.Absent) != 1 || got.Absent[0].Backend != "gone" {
		t.Errorf("orders for backends that are no members: %+v", got.Absent)
	}
	if len(after.changes) > 0 {
		t.Errorf("changes were told of: %+v", after.changes)
	}
	if calls := after.watched.took(); !slices.Contains(calls, "suspect suspect") || slices.Contains(calls, "suspect up") {
		t.Errorf("the probes were told %q", calls)
	}
	if later := after.join(func(c *BackendConfig) { c.Address = all[0].Config().Address }, "up2")[0]; later.State() != Unknown {
		t.Errorf("a later backend is %v", later.State())
	}
}

// TestHandoverAcrossAJump: a backend that was suspected when the clock was wrong by an hour is believed again as soon as a probe
// finds it fit, and starts as slowly as it would have; and nothing has happened an hour ago, or will.
func TestHandoverAcrossAJump(t *testing.T) {
	for _, wrong := range []time.Duration{time.Hour, -time.Hour} {
		before := newRig(t, func(c *PoolConfig) { c.SlowStart = 30 * time.Minute })
		one := before.join(nil, "one")[0]
		before.judge(one, Unfit)
		before.judge(one, Fit)
		before.suspect(one, "connect: refused")
		h := handedOver(t, before.Pool)
		for _, at := range []*time.Time{&h.At, &h.Pools[0].Backends[0].Since, &h.Pools[0].Backends[0].SuspectAt, &h.Pools[0].Backends[0].Ramp} {
			*at = at.Add(wrong)
		}

		after := newRig(t, func(c *PoolConfig) { c.SlowStart = 30 * time.Minute })
		after.expect(h)
		one = after.join(nil, "one")[0]
		if since := after.Status().Backends[0].Since; time.Since(since).Abs() > 10*time.Minute {
			t.Errorf("wrong by %v: it is down since %v", wrong, since)
		}
		if grown := after.mu.seats[0].grown(time.Now().Add(10*time.Minute), 30*time.Minute); grown < .2 || grown > .8 {
			t.Errorf("wrong by %v: after ten of thirty minutes it has %v of its weight", wrong, grown)
		}
		after.judge(one, Fit)
		if one.State() != Up {
			t.Errorf("wrong by %v: it is %v although a probe finds it fit", wrong, one.State())
		}
	}
}

// TestForgottenHandover: an order for a backend that does not join in time waits for it.
func TestForgottenHandover(t *testing.T) {
	before := newRig(t, nil)
	b := before.join(nil, "late")[0]
	before.judge(b, Unfit)
	before.Order(b, Disable, "a person")
	after := newRig(t, nil)
	after.expect(handedOver(t, before.Pool))
	balancerOf(after.Pool).ForgetHandover()
	if late := after.join(nil, "late")[0]; late.State() != Disabled || late.Known() != Undecided {
		t.Errorf("the late backend is %v, and known as %v", late.State(), late.Known())
	}
}

// TestReorder: the orders of another process stand, and no others.
func TestReorder(t *testing.T) {
	r := newRig(t, nil)
	all := r.join(nil, "one", "two", "three")
	r.Order(all[0], Drain, "a person")
	r.Order(all[1], Drain, "a person")
	b := balancerOf(r.Pool)
	b.Reorder([]Standing{{Pool: "fe", Backend: "two", Order: Disable}, {Pool: "fe", Backend: "three", Order: Drain}, {Pool: "fe", Backend: "four", Order: Drain},
		{Pool: "none", Backend: "one", Order: Drain}})
	for i, want := range []State{Unknown, Disabled, Draining} {
		if got := all[i].State(); got != want {
			t.Errorf("%s is %v, want %v", all[i].Name, got, want)
		}
	}
	if absent := r.Status().Absent; len(absent) != 1 || absent[0].Backend != "four" {
		t.Errorf("kept: %+v", absent)
	}
}

// TestRestoredDeadline: the deadline of an order that another process has told is kept with a monotonic reading, so that a jump of the
// clock later on neither cuts sessions early nor spares them.
func TestRestoredDeadline(t *testing.T) {
	deadline := time.Now().Add(time.Hour).Round(0)
	orders := []Standing{{Pool: "fe", Backend: "one", Order: Drain, At: deadline.Add(-2 * time.Hour), Deadline: deadline},
		{Pool: "fe", Backend: "two", Order: Drain, Deadline: deadline}}
	for name, restore := range map[string]func(r *poolRig) *Backend{
		"Restore": func(r *poolRig) *Backend {
			one := r.join(nil, "one")[0]
			balancerOf(r.Pool).Restore(orders)
			return one
		},
		"Reorder": func(r *poolRig) *Backend {
			one := r.join(nil, "one")[0]
			balancerOf(r.Pool).Reorder(orders)
			return one
		},
		"a handover": func(r *poolRig) *Backend {
			r.expect(&Handover{At: time.Now().Round(0), Pools: []PoolHandover{{Name: "fe", Absent: orders[1:],
				Backends: []BackendHandover{{Name: "one", Standing: orders[0]}}}}})
			return r.join(nil, "one")[0]
		},
	} {
		r := newRig(t, nil)
		one := restore(r)
		two := r.Status().Absent
		if len(two) != 1 {
			t.Fatalf("%s: kept: %+v", name, two)
		}
		for _, kept := range []time.Time{one.mu.standing.Deadline, two[0].Deadline} {
			if !kept.Equal(deadline) || !strings.Contains(kept.String(), " m=+") { // as package time writes it for debugging
				t.Errorf("%s: the deadline %v has become %v", name, deadline, kept)
			}
		}
	}
}

// TestFormerSessions: sessions of a process from before count for the choice and for caps, and their end lets others in.
func TestFormerSessions(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.Queue = 5 })
	all := r.join(func(c *BackendConfig) { c.MaxSessions = 3 }, "one", "two")
	for _, b := range all {
		r.judge(b, Fit)
	}
	b := balancerOf(r.Pool)
	b.SetFormer(Counts{"fe": {"one": 2, "stranger": 5}, "none": {"one": 9}})
	first := r.take("two", Request{})
	r.take("two", Request{})
	r.take("", Request{})
	r.take("", Request{})
	r.refuse(ErrFull, Request{})
	if s := r.Status(); s.Backends[0].Former != 2 || s.Backends[0].Sessions != 1 || s.Backends[1].Former != 0 || s.Sessions != 4 {
		t.Errorf("status: %+v", s)
	}
	if own := b.Counts(); own.Sum() != 4 || own["fe"]["one"] != 1 || own["fe"]["two"] != 3 {
		t.Errorf("own sessions: %v", own)
	}
	if v, ok := gauge(t, r.metrics, "backend_former_sessions", "one"); !ok || v != 2 {
		t.Errorf("metric: %v %v", v, ok)
	}
	woken := &wakes{}
	_, ticket, err := r.enqueue(Request{}, woken)
	if err != nil || ticket == nil {
		t.Fatalf("%v, %v", ticket, err)
	}
	b.SetFormer(Counts{"fe": {"one": 1}})
	if !r.answered(ticket) || r.leave(ticket).Backend != all[0] {
		t.Error("the end of a session from before lets nobody in")
	}
	b.SetFormer(Counts{"fe": {"one": -7, "two": 1 << 40}})
	if s := r.Status(); s.Backends[0].Former != 0 || s.Backends[1].Former != mostFormer {
		t.Errorf("nonsense counts as %d and %d", s.Backends[0].Former, s.Backends[1].Former)
	}
	b.SetFormer(nil)
	first.Release()
	r.take("two", Request{})
	if sum := (Counts{"fe": {"one": 1}}); sum.Sum() != 1 {
		t.Error("a sum is wrong")
	}
}

// wakes is somebody who waits.
type wakes struct{ n int }

func (w *wakes) Wake() { w.n++ }

// TestFoundMembersAreHandedOver: what discovery has found is there before anybody has been asked again.
func TestFoundMembersAreHandedOver(t *testing.T) {
	discovered := func(c *PoolConfig) { c.Discovered, c.LearnsRoles = true, true }
	before := newRig(t, discovered)
	seed := before.join(nil, "seed")[0]
	b := balancerOf(before.Pool)
	if err := b.Discovered("fe", []Found{{Address: "10.0.0.8:9030", Role: Leader}, {Address: "10.0.0.9:9030", Role: Observer}}); err != nil {
		t.Fatal(err)
	}
	before.judge(before.Backend("10.0.0.8:9030"), Fit)
	after := newRig(t, discovered)
	h := handedOver(t, before.Pool)
	after.expect(h)
	if err := after.Pool.roster.set([]BackendConfig{seed.Config()}, false); err != nil {
		t.Fatal(err)
	}
	after.rediscover(h)
	s := after.Status()
	if len(s.Backends) != 2 || s.Backends[0].State != Up || s.Backends[0].Role != Leader || s.Backends[1].State != Unknown || s.Backends[1].Role != Observer {
		t.Errorf("the members are %+v", s.Backends)
	}
	after.take("10.0.0.8:9030", Request{})
	after.take("10.0.0.8:9030", Request{}) // the other one is still to be probed
}
