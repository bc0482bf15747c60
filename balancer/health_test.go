package balancer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead/balancer/splice"
)

// tasked is a splice.Task of which only what a pool calls exists.
type tasked struct {
	splice.Task
	cut       []splice.End
	keepalive []splice.Keepalive
}

func (k *tasked) Cut(end splice.End)             { k.cut = append(k.cut, end) }
func (k *tasked) Keepalive(how splice.Keepalive) { k.keepalive = append(k.keepalive, how) }

// holding takes a lease for a session, joined or not.
func (r *poolRig) holding(want string, begun bool) *tasked {
	r.t.Helper()
	k := &tasked{}
	s := &session{task: k, pool: r.Pool}
	s.begun.Store(begun)
	s.lease = r.take(want, Request{holder: s})
	return k
}

func TestSessionsOnABackendThatGoesDown(t *testing.T) {
	usual := keepalive(time.Minute)
	for name, test := range map[string]struct {
		policy         OnDown
		cut            []splice.End
		down, upAgain  []splice.Keepalive
		beforeAnything func(*poolRig, *Backend)
	}{
		"verify": {policy: Verify, down: []splice.Keepalive{verifying}, upAgain: []splice.Keepalive{verifying, usual}},
		"close":  {policy: CloseSessions, cut: []splice.End{splice.BackendDown}},
		"keep":   {policy: KeepSessions},
		"verify, also when a person has disabled it": {policy: Verify, down: []splice.Keepalive{verifying},
			upAgain:        []splice.Keepalive{verifying, usual},
			beforeAnything: func(r *poolRig, b *Backend) { r.Order(b, Disable, "a person") }},
		"close, also when a person drains it": {policy: CloseSessions, cut: []splice.End{splice.BackendDown},
			beforeAnything: func(r *poolRig, b *Backend) { r.Order(b, Drain, "a person") }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *PoolConfig) { c.SessionsOnDown = test.policy })
			b := r.join(nil, "one", "two")
			r.judge(b[0], Fit)
			here, there := r.holding("one", true), r.holding("two", true)
			// A session that is being set up may still go elsewhere, and one in its login finds out by itself.
			young := &tasked{}
			s := &session{task: young}
			s.lease = r.take("one", Request{Tried: b[1:], holder: s})
			if test.beforeAnything != nil {
				test.beforeAnything(r, b[0])
			}
			r.judge(b[0], Unfit)
			r.judge(b[0], Unfit)
			if !slices.Equal(here.cut, test.cut) || !slices.Equal(here.keepalive, test.down) {
				t.Errorf("down: cut %v, keepalive %v, want %v, %v", here.cut, here.keepalive, test.cut, test.down)
			}
			r.judge(b[0], Fit)
			if !slices.Equal(here.cut, test.cut) || !slices.Equal(here.keepalive, test.upAgain) {
				t.Errorf("up again: cut %v, keepalive %v, want %v, %v", here.cut, here.keepalive, test.cut, test.upAgain)
			}
			for _, k := range []*tasked{there, young} {
				if k.cut != nil || k.keepalive != nil {
					t.Errorf("a session that is not concerned: %+v", k)
				}
			}
		})
	}
}

func TestASuspicionVerifiesSessionsAndIsNewsOnce(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two")
	r.judge(b[0], Fit)
	k := r.holding("one", true)
	r.watched.took()
	for range 3 {
		r.suspect(b[0], "connect: refused")
	}
	if want := []string{"suspect one", "suspect one", "suspect one"}; !slices.Equal(r.watched.took(), want) {
		t.Errorf("the watcher was not told each time")
	}
	if b[0].State() != Down || !slices.Equal(k.keepalive, []splice.Keepalive{verifying}) {
		t.Errorf("%v, keepalive %v", b[0].State(), k.keepalive)
	}
	if lines := r.log.with("backend down"); len(lines) != 1 || !strings.Contains(lines[0], "live traffic: connect: refused") {
		t.Errorf("logged: %q, want one line", lines)
	}
	if got := r.gauge("backend_transitions_total", "one", "up", "down"); got != 1 {
		t.Errorf("%v transitions are counted, want 1", got)
	}
	r.take("two", Request{})
	if got := r.Status().Backends[0]; got.Failures != 3 || got.Reason != "live traffic: connect: refused" {
		t.Errorf("status: %+v", got)
	}
}

func TestAReportOlderThanASuspicionIsIgnored(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one")[0]
	r.judge(b, Fit)
	before := time.Now()
	r.suspect(b, "connect: refused")
	r.Report(b, Probe{At: before, Verdict: Fit})
	if b.State() != Down {
		t.Fatalf("%v after a report that is older than the suspicion", b.State())
	}
	r.judge(b, Undecided)
	if b.State() != Down {
		t.Fatalf("%v after a report without a verdict", b.State())
	}
	r.judge(b, Fit)
	if b.State() != Up {
		t.Fatalf("%v after a younger report", b.State())
	}
}

func TestEachTransitionIsToldOnce(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one")[0]
	for _, step := range []struct {
		do func()
		to State
	}{
		{func() { r.judge(b, Fit) }, Up},
		{func() { r.judge(b, Fit) }, Up},
		{func() { r.judge(b, Leaving) }, Draining},
		{func() { r.judge(b, Unfit) }, Down},
		{func() { r.judge(b, Unfit) }, Down},
		{func() { r.Order(b, Disable, "a person") }, Disabled},
		{func() { r.judge(b, Fit) }, Disabled},
		{func() { r.Order(b, Drain, "a person") }, Draining},
		{func() { r.Order(b, Enable, "a person") }, Up},
	} {
		step.do()
		if got := b.State(); got != step.to {
			t.Fatalf("%v, want %v", got, step.to)
		}
		for s := Unknown; s <= Disabled; s++ {
			want := 0.0
			if s == step.to {
				want = 1
			}
			if got := r.gauge("backend_state", "one", s.String()); got != want {
				t.Errorf("%v: the gauge of %v shows %v", step.to, s, got)
			}
		}
	}
	want := []string{"unknown up", "up draining", "draining down", "down disabled", "disabled draining", "draining up"}
	var told []string
	for _, c := range r.changes {
		told = append(told, c.From.String()+" "+c.To.String())
		if got := r.gauge("backend_transitions_total", c.From.String(), c.To.String()); got != 1 {
			t.Errorf("%v to %v is counted %v times", c.From, c.To, got)
		}
		if lines := r.log.with("backend "+c.To.String(), "was="+c.From.String(), "pool=fe", "backend=one"); len(lines) != 1 {
			t.Errorf("%v to %v is logged %d times: %q", c.From, c.To, len(lines), lines)
		}
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if lines := r.log.with("WARN"); len(lines) != 1 {
		t.Errorf("warnings: %q, want one, for down", lines)
	}
}

func TestReasons(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one")[0]
	reason := func(want string) {
		t.Helper()
		if got := r.Status().Backends[0].Reason; got != want {
			t.Errorf("the reason is %q, want %q", got, want)
		}
	}
	reason("")
	r.judge(b, Unfit)
	reason("the probe said unfit")
	r.Report(b, Probe{At: time.Now(), Verdict: Unfit, Reason: "connect: no route"})
	reason("connect: no route") // the latest
	r.Order(b, Disable, "a person")
	reason("disable ordered by a person")
	r.Order(b, Enable, "another person")
	reason("connect: no route") // it is not the person's doing that it is down
	r.suspect(b, "greeting: closed instead")
	r.Order(b, Drain, "a person")
	reason("live traffic: greeting: closed instead")
	r.judge(b, Fit)
	r.Order(b, Enable, "")
	reason("enable ordered")

	named := r.add(BackendConfig{Weight: 1}, "named", "fe9", nil, false)
	if got := r.Status().Backends[1].Reason; got != "fe9 is not resolved yet" {
		t.Errorf("the reason is %q", got)
	}
	r.readdress(named, []netip.AddrPort{netip.MustParseAddrPort("10.0.9.9:9030")})
	if got := r.Status().Backends[1].Reason; got != "" {
		t.Errorf("resolved, and the reason is %q", got)
	}
}

func TestSignsOfLifeDoNotGoBack(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one")[0]
	greeted := time.Now()
	r.succeeded(b, greeted)
	r.Report(b, Probe{At: greeted.Add(-time.Second), Verdict: Fit}) // began before
	if !b.mu.succeeded.Equal(greeted) {
		t.Errorf("the latest sign of life is from %v ago", greeted.Sub(b.mu.succeeded))
	}
}

func TestWhoComesBackStartsSlowly(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*poolRig, *Backend)
		slowly bool
	}{
		"down":               {func(r *poolRig, b *Backend) { r.judge(b, Fit); r.judge(b, Unfit); r.judge(b, Fit) }, true},
		"suspect":            {func(r *poolRig, b *Backend) { r.suspect(b, "x"); r.judge(b, Fit) }, true},
		"new":                {func(r *poolRig, b *Backend) { r.judge(b, Fit) }, false},
		"drained and back":   {func(r *poolRig, b *Backend) { r.judge(b, Fit); r.Order(b, Drain, ""); r.Order(b, Enable, "") }, false},
		"disabled and back":  {func(r *poolRig, b *Backend) { r.judge(b, Fit); r.Order(b, Disable, ""); r.Order(b, Enable, "") }, true},
		"left, came at once": {func(r *poolRig, b *Backend) { r.judge(b, Fit); r.judge(b, Leaving); r.judge(b, Fit) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *PoolConfig) { c.SlowStart = time.Hour })
			b := r.join(nil, "one", "two")
			test.before(r, b[0])
			if slowly := !r.mu.seats[0].ramp.IsZero(); b[0].State() != Up || slowly != test.slowly {
				t.Errorf("%v, slowly: %v, want %v", b[0].State(), slowly, test.slowly)
			}
		})
	}
}
