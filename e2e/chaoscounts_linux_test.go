package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// count has everybody stand still, and compares what fairlead, the servers and the clients believe.
func (c *chaos) count() {
	c.t.Helper()
	c.allUp()
	c.strangers.Wait()
	c.gate.Lock()
	defer c.gate.Unlock()
	c.eventually("all counts to agree", func() error {
		_, err := c.agree()
		return err
	})
	c.forgotten.may = false
	if err := c.agesHold(); err != nil {
		c.judge.violation("%v", err)
	}
}

// agree compares the totals with who is here, at a moment when nobody comes or goes: a session that does is in no count for some
// microseconds, before it has its place and after it has given that back. It returns how many are here.
func (c *chaos) agree() (here int, err error) {
	before := c.totals()
	if here, err = c.present(); err != nil {
		return here, err
	}
	now := c.totals()
	if now != before || now.here != float64(here) {
		return here, fmt.Errorf("totals: first %v, then %v, and %d sessions are here", before, now, here)
	}
	missing := now.came - now.went - now.here
	if missing < c.forgotten.sessions || missing > c.forgotten.sessions && !c.forgotten.may {
		return here, fmt.Errorf("totals: %v, and %v have been forgotten", now, c.forgotten.sessions)
	}
	c.forgotten.sessions = missing
	return here, nil
}

// present counts the sessions of this process, which are the same to whoever counts them: the balancer, its listener, its pool and
// the backends, the front ends and the clients.
func (c *chaos) present() (int, error) {
	ctx, cancel := c.patiently()
	defer cancel()
	s, err := c.control.Status(ctx)
	if err != nil {
		return 0, err
	}
	sum, own, former := 0, make(map[string]int), make(map[string]int)
	for _, b := range s.Pools[0].Backends { // one that was left out for a while may be there twice
		own[b.Name] += b.Sessions
		former[b.Name] += b.Former
		sum += b.Sessions
	}
	for _, fe := range c.fes {
		own, former := own[fe.Name()], former[fe.Name()]
		if n := fe.Counts().Connections(); own+former != n {
			return 0, fmt.Errorf("backend %s: %d sessions and %d of former processes, and the front end has %d", fe.Name(), own, former, n)
		}
		if n := c.judge.liveAt(fe.Name()); n < fe.Sessions() { // clients that stand still may not have heard of an end
			return 0, fmt.Errorf("front end %s has %d sessions, and only %d clients believe to have one", fe.Name(), fe.Sessions(), n)
		}
	}
	if s.Sessions != sum || s.Pools[0].Sessions != sum || s.Listeners[0].Sessions != sum {
		return 0, fmt.Errorf("%d sessions on backends, %d of the pool, %d of the listener, %d in all", sum, s.Pools[0].Sessions, s.Listeners[0].Sessions, s.Sessions)
	}
	return sum, nil
}

// totals are what the metrics say of all sessions.
type totals struct{ came, went, here float64 }

// String says it in words.
func (t totals) String() string {
	return fmt.Sprintf("%v came, %v went, %v are here", t.came, t.went, t.here)
}

func (c *chaos) totals() totals {
	var t totals
	for series, value := range c.ship.metrics() {
		n, _ := strconv.ParseFloat(value, 64)
		switch {
		case strings.HasPrefix(series, "fairlead_listener_accepts_total{"):
			t.came += n
		case strings.HasPrefix(series, "fairlead_sessions_total{"):
			t.went += n
		case strings.HasPrefix(series, "fairlead_backend_sessions{"):
			t.here += n
		}
	}
	return t
}

// probes counts those of a backend since its series began.
func (c *chaos) probes(fe int) float64 {
	n, _ := strconv.ParseFloat(c.ship.metrics()[fmt.Sprintf(`fairlead_probe_seconds_count{backend="%d",pool="fe"}`, fe+1)], 64)
	return n
}

// forgotten is what the totals lack, for the series of a backend that has left are removed.
type forgotten struct {
	sessions float64
	may      bool // some may have been forgotten since the last time
}

// mass is what fairlead has in use.
type mass struct {
	goroutines, descriptors int
	memory                  int64 // resident, in bytes
}

// String says it in words.
func (f mass) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d MB", f.goroutines, f.descriptors, f.memory>>20)
}

func (c *chaos) footprint() mass {
	c.t.Helper()
	goroutines, err := strconv.Atoi(c.ship.metrics()["go_goroutines"])
	if err != nil {
		c.t.Fatal(err)
	}
	descriptors, err := c.descriptors()
	if err != nil {
		c.t.Fatal(err)
	}
	rss, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", c.serving.pid()))
	if err != nil {
		c.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(rss))[1], 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return mass{goroutines: goroutines, descriptors: descriptors, memory: pages * int64(os.Getpagesize())}
}

// restores waits until nothing is in use any more that was not at first, but for spare things whose number is bounded.
func (c *chaos) restores(before mass) {
	c.t.Helper()
	spare := mass{goroutines: spareCoroutines().goroutines, descriptors: 2 * chaosPipes * loops, memory: 64 << 20}
	if raceEnabled {
		spare.memory *= 8
	}
	var now mass
	c.eventually("everything to be given back", func() error {
		now = c.footprint()
		if now.goroutines > before.goroutines+spare.goroutines || now.descriptors > before.descriptors+spare.descriptors ||
			now.memory > before.memory+spare.memory {
			return fmt.Errorf("%v, at first %v", now, before)
		}
		return nil
	})
	fmt.Printf("at the end %v\n", now)
}

// addsUp compares the totals once everybody has gone.
func (c *chaos) addsUp() {
	c.t.Helper()
	c.eventually("all to have gone", func() error {
		ctx, cancel := c.patiently()
		defer cancel()
		s, err := c.control.Status(ctx)
		if err != nil {
			return err
		}
		if len(s.Former) > 0 {
			return fmt.Errorf("processes from before upgrades are left: %v", s.Former)
		}
		here, err := c.agree()
		if err == nil && here > 0 {
			err = fmt.Errorf("%d sessions are left", here)
		}
		return err
	})
	for _, fe := range c.fes {
		if n := fe.Sessions(); n > 1 { // a probe's
			c.t.Errorf("front end %s has %d sessions left", fe.Name(), n)
		}
	}
}

// loops is how many event loops fairlead has here.
var loops = func() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		return set.Count()
	}
	return 64
}()
