package balancer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSurplus(t *testing.T) {
	all := math.MaxInt32
	for name, c := range map[string]struct {
		loads  []held
		total  float64
		spread int
		i      int
		most   int
	}{
		"nobody":                {nil, 0, 10, -1, 0},
		"alone":                 {[]held{{100, 1, all}}, 100, 10, -1, 0},
		"even":                  {[]held{{50, 1, all}, {50, 1, all}}, 100, 0, -1, 0},
		"one more":              {[]held{{51, 1, all}, {50, 1, all}}, 101, 0, -1, 0},
		"one came back":         {[]held{{60, 1, all}, {40, 1, all}, {0, 1, all}}, 100, 10, 0, 26},
		"within the spread":     {[]held{{55, 1, all}, {45, 1, all}}, 100, 10, -1, 0},
		"beyond it":             {[]held{{44, 1, all}, {56, 1, all}}, 100, 10, 1, 6},
		"by weight":             {[]held{{60, 3, all}, {40, 1, all}}, 100, 10, 1, 15},
		"no room":               {[]held{{100, 1, all}, {0, 1, 0}}, 100, 10, -1, 0},
		"little room":           {[]held{{100, 1, all}, {0, 1, 7}}, 100, 10, 0, 7},
		"a backup":              {[]held{{10, 1, all}, {30, 0, all}}, 40, 10, 1, 30},
		"others take time":      {[]held{{50, 1, all}, {0, 1, all}}, 100, 10, -1, 0}, // 50 have left, and have not come back yet
		"nobody should have it": {[]held{{10, 0, all}}, 10, 10, -1, 0},
	} {
		if i, most := surplus(c.loads, c.total, c.spread); i != c.i || most != c.most {
			t.Errorf("%s: %d of backend %d, want %d of %d", name, most, i, c.most, c.i)
		}
	}
}

// TestRebalancingConverges: from any loads, with clients that come back at once, later or never, sessions are ended until all backends are
// within the spread, no more are ended than are too many at the start, and then it is quiet.
func TestRebalancingConverges(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 300 {
		loads := make([]held, 2+random.IntN(8))
		total := 0
		for i := range loads {
			loads[i] = held{sessions: random.IntN(500), weight: 1 + random.IntN(3), room: math.MaxInt32}
			total += loads[i].sessions
		}
		spread, delay := random.IntN(30), random.IntN(4)
		weights, tooMany := 0, 0
		for _, l := range loads {
			weights += l.weight
		}
		for _, l := range loads {
			tooMany += max(0, l.sessions-total*l.weight/weights)
		}
		r, now := rebalancing{peaks: map[roleSet]float64{}}, time.Unix(0, 0)
		var away []int // sessions that come back after so many steps
		ended, quiet := 0, 0
		for step := 0; quiet < 100; step++ {
			if step > 2000 {
				t.Fatalf("round %d: no end: %+v", round, loads)
			}
			away = slices.DeleteFunc(away, func(at int) bool {
				if at > step {
					return false
				}
				best := 0
				for i, l := range loads { // least connections
					if (l.sessions+1)*loads[best].weight < (loads[best].sessions+1)*l.weight {
						best = i
					}
				}
				loads[best].sessions++
				return true
			})
			sessions := 0
			for _, l := range loads {
				sessions += l.sessions
			}
			i, most := surplus(loads, r.total(0, sessions, now), spread)
			r.last, now = now, now.Add(time.Second)
			if quiet++; i < 0 {
				continue
			}
			quiet = 0
			n := min(mostAStep, (most+partOfSurplus-1)/partOfSurplus)
			loads[i].sessions -= n
			ended += n
			for range n {
				away = append(away, step+1+delay)
			}
		}
		if len(away) > 0 || ended > tooMany {
			t.Errorf("round %d: %d sessions are away, %d were ended, and %d were too many", round, len(away), ended, tooMany)
		}
		for _, l := range loads {
			if share := float64(total*l.weight) / float64(weights); float64(l.sessions) > max(math.Ceil(share), share*(1+float64(spread)/100)) {
				t.Errorf("round %d: %d sessions are left with a share of %.1f and a spread of %d %%", round, l.sessions, share, spread)
			}
		}
	}
}

// TestRebalancingFades: sessions that do not come back are not waited for without end.
func TestRebalancingFades(t *testing.T) {
	r, now := rebalancing{peaks: map[roleSet]float64{}}, time.Unix(0, 0)
	r.total(0, 100, now)
	r.last = now
	if got := r.total(0, 50, now.Add(69*time.Second)); math.Abs(got-75) > 0.1 {
		t.Errorf("%v sessions are shared out after 69 s, want 75", got)
	}
}

// TestGroups: only backends count that take their full share, each among those of its role, and backups not beside others.
func TestGroups(t *testing.T) {
	r := newRig(t, func(c *PoolConfig) { c.SlowStart = time.Minute })
	b := r.join(nil, "up", "leader", "backup", "down", "drained", "slow", "light")
	for i, backend := range b {
		r.judge(backend, Fit)
		c := backend.Config()
		switch i {
		case 1:
			c.Role = "leader"
		case 2:
			c.Backup = true
		case 6:
			c.Weight = 0
		}
		r.reconfigure(backend, c)
	}
	r.judge(b[3], Unfit)
	r.Order(b[4], Drain, "")
	r.judge(b[5], Unfit)
	r.judge(b[5], Fit)
	names := func(now time.Time) (all [][]string) {
		for _, g := range r.groups(now) {
			var group []string
			for i, backend := range g.backends {
				name := backend.Name
				if g.loads[i].weight == 0 {
					name += " (0)"
				}
				group = append(group, name)
			}
			all = append(all, group)
		}
		slices.SortFunc(all, slices.Compare)
		return all
	}
	same := func(a, b []string) bool { return slices.Equal(a, b) }
	if got, want := names(time.Now()), [][]string{{"leader"}, {"up", "backup (0)"}}; !slices.EqualFunc(got, want, same) {
		t.Errorf("the groups are %q, want %q", got, want)
	}
	if got, want := names(time.Now().Add(time.Minute)), [][]string{{"leader"}, {"up", "backup (0)", "slow"}}; !slices.EqualFunc(got, want, same) {
		t.Errorf("later the groups are %q, want %q", got, want)
	}
}
