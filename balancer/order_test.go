package balancer

import (
	"encoding/json"
	"errors"
	"syscall"
	"testing"
	"time"
)

// TestOrderOutlivesItsBackend: what a person has said of a backend holds when that leaves the pool and comes back, until it
// is taken back.
func TestOrderOutlivesItsBackend(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two")
	given := Standing{Order: Drain, By: "a person", CloseIdle: true}
	if err := r.Pool.Order(b[0], given); err != nil {
		t.Fatal(err)
	}
	r.remove(b[0])
	if err := r.Pool.Order(b[0], given); !errors.Is(err, ErrRemoved) {
		t.Errorf("an order for a backend that was removed: %v", err)
	}
	if absent := r.Status().Absent; len(absent) != 1 || absent[0].Backend != "one" || absent[0].Pool != "fe" || absent[0].At.IsZero() {
		t.Errorf("the order that was kept: %+v", absent)
	}
	back := r.join(nil, "one")[0]
	if s := r.Status(); back.State() != Draining || len(s.Absent) != 0 || s.Backends[1].OrderedBy != "a person" || !s.Backends[1].CloseIdle {
		t.Errorf("the backend is back and %v: %+v", back.State(), s)
	}
	r.remove(back)
	all := balancerOf(r.Pool)
	if _, ok := all.EnableAbsent("tow"); ok {
		t.Error("an order that nobody gave was taken back")
	}
	if was, ok := all.EnableAbsent("fe/one"); !ok || was.Backend != "one" {
		t.Errorf("the order could not be taken back: %+v", was)
	}
	if back := r.join(nil, "one")[0]; back.State() != Unknown {
		t.Errorf("the order was taken back, and the backend is %v", back.State())
	}
}

// TestAbsentOrdersAreBounded: names that never come back fill no memory.
func TestAbsentOrdersAreBounded(t *testing.T) {
	r := newRig(t, nil)
	for i := range mostAbsent + 5 {
		b := r.join(nil, string(rune('A'+i%26))+string(rune('a'+i/26)))[0]
		r.Order(b, Disable, "")
		r.remove(b)
	}
	absent := r.Status().Absent
	if len(absent) != mostAbsent || absent[mostAbsent-1].Backend != string(rune('A'+(mostAbsent+4)%26))+string(rune('a'+(mostAbsent+4)/26)) {
		t.Errorf("%d orders are kept, up to %+v", len(absent), absent[len(absent)-1])
	}
}

// TestRestore hands all orders of one balancer to another, as a restart does.
func TestRestore(t *testing.T) {
	before, after := newRig(t, nil), newRig(t, nil)
	old := before.join(nil, "one", "two", "three")
	before.Order(old[0], Drain, "a person")
	before.Order(old[1], Disable, "another")
	before.remove(old[1])
	orders := (balancerOf(before.Pool)).Orders()
	text, err := json.Marshal(append(orders, Standing{Pool: "gone", Backend: "x", Order: Drain}))
	if err != nil {
		t.Fatal(err)
	}
	var kept []Standing
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	b := after.join(nil, "one", "three")
	if lost := (balancerOf(after.Pool)).Restore(kept); len(lost) != 1 || lost[0].Pool != "gone" {
		t.Errorf("lost: %+v", lost)
	}
	if b[0].State() != Draining || b[1].State() != Unknown {
		t.Errorf("the states are %v and %v", b[0].State(), b[1].State())
	}
	if two := after.join(nil, "two")[0]; two.State() != Disabled {
		t.Errorf("a backend that came later is %v", two.State())
	}
}

// TestDeadline: what is left when a drain's deadline passes is cut, counted and told, sessions that still log in included.
func TestDeadline(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses...)
		joined, loggingIn := r.enter(), r.dial()
		loggingIn.greet()
		b := r.Pool("fe").Backends()[0]
		order := func(deadline time.Time) {
			if err := r.Pool("fe").Order(b, Standing{Order: Drain, Deadline: deadline}); err != nil {
				t.Fatal(err)
			}
		}
		order(time.Now().Add(hang))
		r.sweepPool(r.Pool("fe"), time.Now())
		if n := b.Sessions(); n != 2 {
			t.Fatalf("%d sessions are left before the deadline", n)
		}
		order(time.Now())
		for range 2 {
			r.wantEnd("drained")
		}
		if _, err := joined.rest(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v, want a reset", err)
		}
		if s := r.Pool("fe").Status().Backends[0]; s.Cut != 2 || s.Deadline.IsZero() {
			t.Errorf("the status: %+v", s)
		}
	})
}
