package balancer

import (
	"slices"
	"testing"
	"time"

	"fairlead/balancer/splice"
)

// ending is a call of EndIdle.
type ending struct {
	tasks int
	of    string // a backend all of whose sessions they are
	quiet time.Duration
	most  int
	end   splice.End
}

// endings is an engine of which only EndIdle exists: it ends what it may, and notes how it was called.
type endings struct {
	splice.Engine
	calls []ending
	of    map[splice.Task]string // the backend that each session is on
}

func (e *endings) EndIdle(tasks []splice.Task, quiet time.Duration, most int, end splice.End) int {
	call := ending{len(tasks), e.of[tasks[0]], quiet, most, end}
	if slices.ContainsFunc(tasks, func(t splice.Task) bool { return e.of[t] != call.of }) {
		call.of = "several"
	}
	e.calls = append(e.calls, call)
	return min(len(tasks), most)
}

// took are the calls since the last time.
func (e *endings) took() []ending {
	calls := e.calls
	e.calls = nil
	return calls
}

// hold gives a backend sessions that are set up, and one that is not.
func (e *endings) hold(r *poolRig, n int, on *Backend, others ...*Backend) {
	r.t.Helper()
	for i := range n + 1 {
		k := &tasked{}
		s := &session{task: k, pool: r.Pool}
		s.begun.Store(i < n)
		s.lease = r.take(on.Name, Request{Tried: others, holder: s})
		e.of[k] = on.Name
	}
}

// A drain with CloseIdle ends 50 idle sessions at each look, or an eighth of more; other orders end none.
func TestSweepEndsIdleSessions(t *testing.T) {
	r := newRig(t, nil)
	all := r.join(nil, "one", "two")
	e := &endings{of: map[splice.Task]string{}}
	b := balancerOf(r.Pool)
	b.engine = e
	e.hold(r, 16, all[0], all[1])
	e.hold(r, 800, all[1], all[0])
	for _, step := range []struct {
		order Standing
		on    *Backend
		want  []ending
	}{
		{Standing{Order: Drain}, all[0], nil},
		{Standing{Order: Drain, CloseIdle: true}, all[0], []ending{{16, "one", time.Second, 50, splice.DrainedIdle}}},
		{Standing{Order: Enable}, all[0], nil},
		{Standing{Order: Disable, CloseIdle: true}, all[1], []ending{{800, "two", time.Second, 100, splice.DrainedIdle}}},
		{Standing{Order: Drain, CloseIdle: true, Deadline: time.Now().Add(time.Hour)}, all[1], []ending{{800, "two", time.Second, 100, splice.DrainedIdle}}},
		{Standing{Order: Enable}, all[1], nil},
	} {
		if err := r.Pool.Order(step.on, step.order); err != nil {
			t.Fatal(err)
		}
		b.sweepPool(r.Pool, time.Now())
		if got := e.took(); !slices.Equal(got, step.want) {
			t.Errorf("%+v: %+v, want %+v", step.order, got, step.want)
		}
	}
}

// Rebalancing ends a twentieth of what is too much on the fullest backend, fifty at most, about once a second, where it is asked for.
func TestRebalanceEndsIdleSessions(t *testing.T) {
	for name, test := range map[string]struct {
		how      Rebalance
		sessions int // on the second of two backends, beside one of each that is being set up
		want     []ending
	}{
		"off":  {RebalanceOff, 40, nil},
		"none": {"", 40, nil},
		"few":  {RebalanceIdle, 39, []ending{{39, "two", time.Second, 1, splice.Rebalanced}}},
		"more": {RebalanceIdle, 399, []ending{{399, "two", time.Second, 10, splice.Rebalanced}}},
		"many": {RebalanceIdle, 3000, []ending{{3000, "two", time.Second, 50, splice.Rebalanced}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *PoolConfig) { c.Rebalance, c.RebalanceSpread = test.how, 10 })
			all := r.join(nil, "one", "two")
			e := &endings{of: map[splice.Task]string{}}
			b := balancerOf(r.Pool)
			b.engine = e
			e.hold(r, 0, all[0], all[1])
			e.hold(r, test.sessions, all[1], all[0])
			now := time.Now()
			b.rebalance(r.Pool, now)
			if got := e.took(); got != nil {
				t.Fatalf("of backends that nobody has found up sessions are ended: %+v", got)
			}
			for _, backend := range all {
				r.judge(backend, Fit)
			}
			now = now.Add(2 * rebalanceEvery)
			for range 2 { // the second time it is too early for another step
				b.rebalance(r.Pool, now)
			}
			if got := e.took(); !slices.Equal(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
			b.rebalance(r.Pool, now.Add(2*rebalanceEvery))
			if got := e.took(); !slices.Equal(got, test.want) {
				t.Errorf("at the next step %+v, want %+v", got, test.want)
			}
		})
	}
}
