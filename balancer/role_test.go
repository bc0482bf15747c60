package balancer

import (
	"errors"
	"testing"
	"time"
)

func TestRoleSources(t *testing.T) {
	for _, step := range []struct {
		was, now RoleSource
		stands   bool // what was said before
	}{
		{"", RoleFromProbe, false},
		{RoleFromProbe, RoleFromProbe, false},
		{RoleFromProbe, RoleFromDiscovery, false},
		{RoleFromDiscovery, RoleFromProbe, true},
		{RoleFromFile, RoleFromDiscovery, true},
		{RoleFromFile, RoleFromProbe, true},
	} {
		if got := step.was.outranks(step.now); got != step.stands {
			t.Errorf("%q against %q: stands %v", step.was, step.now, got)
		}
	}
}

func TestRoleLearnt(t *testing.T) {
	for _, c := range []struct {
		role Role
		from RoleSource
		want string
	}{
		{"", "", ""}, {Leader, "", "leader"}, {Observer, RoleFromFile, "observer (file)"}, {Follower, RoleFromDiscovery, "follower (discovery)"},
		{"", RoleFromDiscovery, ""}, {Leader, RoleFromProbe, "leader (probe)"}, {"", RoleFromProbe, "not the leader (probe)"},
	} {
		if got := c.role.Learnt(c.from); got != c.want {
			t.Errorf("%q from %q: %q, want %q", c.role, c.from, got, c.want)
		}
	}
}

// chosen acquires as a listener with these roles would, and gives the place back.
func (r *poolRig) chosen(t tiers) string {
	r.t.Helper()
	l, err := r.Acquire(Request{tiers: t})
	if err != nil {
		return err.Error()
	}
	defer l.Release()
	return l.Backend.Name
}

func TestListenersLeadToRoles(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one", "two", "three")
	roles := map[string]Role{"10.0.0.1:9030": Leader, "10.0.0.2:9030": Follower, "10.0.0.3:9030": Observer}
	r.setRoles(roles)
	for _, c := range []struct {
		only     []Role
		fallback bool
		want     string
	}{
		{[]Role{Leader}, false, "one"},
		{[]Role{Follower}, false, "two"},
		{[]Role{Observer}, true, "three"},
	} {
		for range 3 {
			if got := r.chosen(newTiers(c.only, c.fallback)); got != c.want {
				t.Errorf("%v: led to %s, want %s", c.only, got, c.want)
			}
		}
	}
	seen := map[string]bool{}
	for range 10 {
		seen[r.chosen(newTiers([]Role{Follower, Observer}, false))] = true
	}
	if len(seen) != 2 || seen["one"] {
		t.Errorf("followers and observers: led to %v", seen)
	}

	// An election: the next choice follows.
	roles["10.0.0.1:9030"], roles["10.0.0.2:9030"] = Follower, Leader
	r.setRoles(roles)
	if got := r.chosen(newTiers([]Role{Leader}, false)); got != "two" {
		t.Errorf("after an election the leader is %s", got)
	}

	// Without a fit leader, it depends on the fallback: another one, or the leader as the last resort all the same.
	r.judge(b[1], Unfit)
	if got := r.chosen(newTiers([]Role{Leader}, true)); got != "one" && got != "three" {
		t.Errorf("fallback led to %s", got)
	}
	if got := r.chosen(newTiers([]Role{Leader}, false)); got != "two" {
		t.Errorf("the last resort is %s", got)
	}
	if r.canServe(newTiers([]Role{Leader}, false)) {
		t.Error("a listener for the leader can serve without one")
	}
	r.judge(b[0], Fit)
	if !r.canServe(newTiers([]Role{Follower}, false)) || !r.canServe(newTiers(nil, false)) {
		t.Error("a listener for followers can't serve with one")
	}
}

func TestRolesOfTheFileStand(t *testing.T) {
	r := newRig(t, nil)
	r.join(func(c *BackendConfig) { c.Role = "observer" }, "one")
	r.setRoles(map[string]Role{"10.0.0.1:9030": Leader})
	if s := r.Status().Backends[0]; s.Role != Observer || s.RoleFrom != RoleFromFile {
		t.Errorf("role %q from %q", s.Role, s.RoleFrom)
	}
}

func TestRolesFromProbes(t *testing.T) {
	r := newRig(t, nil)
	b := r.join(nil, "one")[0]
	r.Report(b, Probe{At: time.Now(), Verdict: Fit, Role: "leader", RoleKnown: true})
	if s := r.Status().Backends[0]; s.Role != Leader || s.RoleFrom != RoleFromProbe {
		t.Errorf("role %q from %q", s.Role, s.RoleFrom)
	}
	r.Report(b, Probe{At: time.Now(), Verdict: Fit, RoleKnown: true})
	if s := r.Status().Backends[0]; s.Role != "" || s.RoleFrom != RoleFromProbe {
		t.Errorf("no leader any more: role %q from %q", s.Role, s.RoleFrom)
	}
}

func TestDiscoveryChangesMembers(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) {
		c.Minimum, c.Discovered = 2, true
		c.Backends = []BackendConfig{{Address: "10.0.0.1:9030", Name: "seed", Weight: 7}, {Address: "10.0.0.9:9030", Weight: 1}}
	})
	balancer := balancerOf(r.Pool)
	if err := r.roster.set(r.Config().Backends, false); err != nil {
		t.Fatal(err)
	}
	held, err := r.Acquire(Request{Tried: []*Backend{r.Backend("seed")}})
	if err != nil {
		t.Fatal(err)
	}
	found := []Found{{"10.0.0.1:9030", Leader}, {"10.0.0.2:9030", Follower}}
	if err := balancer.Discovered("fe", found); err != nil {
		t.Fatal(err)
	}
	seed, fresh := r.Backend("seed"), r.Backend("10.0.0.2:9030")
	if seed == nil || seed.Config().Weight != 7 || fresh == nil || len(r.Backends()) != 2 {
		t.Fatalf("members: %v", r.Backends())
	}
	if got := r.chosen(newTiers([]Role{Follower}, true)); got != "seed" {
		t.Errorf("an unproven backend, or none, takes sessions: %s", got)
	}
	r.judge(fresh, Fit)
	if got := r.chosen(newTiers([]Role{Follower}, false)); got != "10.0.0.2:9030" {
		t.Errorf("proven, it is not chosen, but %s", got)
	}

	// The one that has gone keeps its session, and is shown, until that ends.
	if s := r.Status(); len(s.Backends) != 3 || !s.Backends[2].Removed || s.Backends[2].Sessions != 1 || s.Sessions != 1 {
		t.Errorf("status: %+v", s.Backends)
	}
	held.Release()
	if s := r.Status(); len(s.Backends) != 2 {
		t.Errorf("status after its last session: %+v", s.Backends)
	}

	// Too short a list changes nothing, nor does the same list again.
	if err := balancer.Discovered("fe", found[:1]); !errors.Is(err, ErrTooFew) || len(r.Backends()) != 2 {
		t.Errorf("a list of one: %v, members %v", err, r.Backends())
	}
	if err := balancer.Discovered("fe", found); err != nil || r.Backend("10.0.0.2:9030") != fresh {
		t.Errorf("the same list: %v; the member is another one", err)
	}
	if err := balancer.Discovered("none", found); err == nil {
		t.Error("a pool that is not there was changed")
	}
}
