package balancer

import (
	"net/netip"
	"testing"
)

// parked is a session that waits in the queue.
type parked struct{ woken chan struct{} }

func (w *parked) Wake() { w.woken <- struct{}{} }

// wait puts a request into the queue.
func (r *poolRig) wait(request Request) (*ticket, *parked) {
	r.t.Helper()
	w := &parked{woken: make(chan struct{}, 2)}
	l, ticket, err := r.enqueue(request, w)
	if ticket == nil {
		r.t.Fatalf("not queued: %v, %v", l, err)
	}
	return ticket, w
}

// served checks that a ticket has been served, with a lease for that backend; or without one when want is empty.
func (r *poolRig) served(ticket *ticket, w *parked, want string) *Lease {
	r.t.Helper()
	if len(w.woken) != 1 || !r.answered(ticket) {
		r.t.Fatalf("woken %d times, answered: %v; want once, and so", len(w.woken), r.answered(ticket))
	}
	l := r.leave(ticket)
	switch {
	case l == nil && want != "":
		r.t.Fatalf("refused, want %s", want)
	case l != nil && l.Backend.Name != want:
		r.t.Fatalf("%s is granted, want %q", l.Backend.Name, want)
	}
	return l
}

func (r *poolRig) waits(ticket *ticket, w *parked) {
	r.t.Helper()
	if len(w.woken) != 0 || r.answered(ticket) {
		r.t.Fatal("served too early")
	}
}

func full(c *PoolConfig) { c.MaxSessions, c.Queue = 1, 3 }

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	r := newRig(t, full)
	r.join(nil, "one")
	l := r.take("one", Request{})
	first, w1 := r.wait(Request{})
	second, w2 := r.wait(Request{})
	if got := r.gauge("pool_queue", "fe"); got != 2 || r.Status().Queued != 2 {
		t.Errorf("the gauge shows %v, the status %d, want 2", got, r.Status().Queued)
	}
	l.Release()
	r.waits(second, w2)
	r.refuse(ErrFull, Request{}) // nobody passes those who wait
	r.served(first, w1, "one").Release()
	r.served(second, w2, "one").Release()
	if got := r.gauge("pool_queue", "fe"); got != 0 {
		t.Errorf("the gauge shows %v at the end", got)
	}
	r.take("one", Request{})
}

func TestQueueIsBounded(t *testing.T) {
	r := newRig(t, full)
	r.join(nil, "one")
	l := r.take("one", Request{})
	var tickets []*ticket
	for range 3 {
		ticket, _ := r.wait(Request{})
		tickets = append(tickets, ticket)
	}
	if _, ticket, err := r.enqueue(Request{}, &parked{}); ticket != nil || err != ErrFull {
		t.Fatalf("a fourth is queued: %v", err)
	}
	for _, i := range []int{1, 0, 2} { // whoever leaves, from wherever, holds nothing
		if l := r.leave(tickets[i]); l != nil {
			t.Errorf("ticket %d holds %v", i, l)
		}
		if l := r.leave(tickets[i]); l != nil {
			t.Errorf("ticket %d holds %v when it leaves again", i, l)
		}
	}
	l.Release()
	r.take("one", Request{})
}

func TestNoQueueWhereNoneIsConfigured(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.MaxSessions = 1 })
	r.join(nil, "one")
	r.take("one", Request{})
	if _, ticket, err := r.enqueue(Request{}, &parked{}); ticket != nil || err != ErrFull {
		t.Errorf("%v, %v, want ErrFull at once", ticket, err)
	}
}

// TestQueueIsServed by everything that makes a place, or takes away the hope of one.
func TestQueueIsServed(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(r *poolRig, full, other *Backend)
		want string
	}{
		"a session ends":                {func(r *poolRig, full, _ *Backend) { full.mu.leases.first.Release() }, "full"},
		"a backend comes up":            {func(r *poolRig, _, other *Backend) { r.judge(other, Fit) }, "other"},
		"a backend is added":            {func(r *poolRig, _, _ *Backend) { r.join(nil, "new") }, "new"},
		"the full one goes down":        {func(r *poolRig, full, _ *Backend) { r.judge(full, Unfit) }, "other"}, // the last resort
		"the full one is removed":       {func(r *poolRig, full, _ *Backend) { r.remove(full) }, "other"},
		"and the other one before that": {func(r *poolRig, full, other *Backend) { r.remove(other); r.remove(full) }, ""},
		"a person takes the full one out": {func(r *poolRig, full, other *Backend) {
			r.Order(other, Disable, "a person")
			r.Order(full, Disable, "a person")
		}, ""},
		"an address is found": {func(r *poolRig, _, _ *Backend) {
			b := r.add(BackendConfig{Weight: 1}, "named", "fe9", nil, false)
			r.readdress(b, []netip.AddrPort{netip.MustParseAddrPort("10.0.9.9:9030")})
		}, "named"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, full)
			b := r.join(nil, "full", "other")
			r.judge(b[1], Unfit)
			r.take("full", Request{})
			ticket, w := r.wait(Request{})
			test.do(r, b[0], b[1])
			r.served(ticket, w, test.want)
		})
	}
}

func TestWhoWantsOtherRolesDoesNotHoldUpTheQueue(t *testing.T) {
	r := newRig(t, full)
	r.join(nil, "one", "two")
	r.setRoles(map[string]Role{"10.0.0.1:9030": Leader, "10.0.0.2:9030": Follower})
	one, two := r.take("one", Request{}), r.take("two", Request{})
	leader, w1 := r.wait(Request{tiers: newTiers([]Role{Leader}, false)})
	follower, w2 := r.wait(Request{tiers: newTiers([]Role{Follower}, false)})
	any, w3 := r.wait(Request{tiers: newTiers(nil, false)})
	two.Release()
	r.waits(leader, w1)
	r.waits(any, w3)
	r.served(follower, w2, "two").Release()
	r.served(any, w3, "two")
	one.Release()
	r.served(leader, w1, "one")
}

func TestWhoHasTriedDoesNotHoldUpTheQueue(t *testing.T) {
	r := newRig(t, full)
	b := r.join(nil, "one", "two")
	one, two := r.take("one", Request{}), r.take("two", Request{})
	choosy, w1 := r.wait(Request{Tried: b[:1]})
	other, w2 := r.wait(Request{})
	one.Release()
	r.waits(choosy, w1) // one has failed it, so it waits for two
	r.served(other, w2, "one")
	two.Release()
	r.served(choosy, w1, "two")
}
