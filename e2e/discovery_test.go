package e2e

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// startCluster starts front ends that know of each other: fe1 leads, fe2 and fe3 follow, the others are observers.
func startCluster(t *testing.T, size int) *fakefe.Cluster {
	t.Helper()
	cluster, err := fakefe.StartCluster(size, fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	return cluster
}

// discovering is a configuration that finds a cluster by one of its members, and leads to any front end, to the leader,
// and to observers as long as there are some.
func discovering(seed *fakefe.FE, more string) string {
	return fmt.Sprintf(`
[[listener]]
name = "any"
bind = "127.0.0.1:0"
pool = "fe"
[[listener]]
name = "leader"
bind = "127.0.0.1:0"
pool = "fe"
roles = ["leader"]
[[listener]]
name = "readers"
bind = "127.0.0.1:0"
pool = "fe"
roles = ["observer"]
roles_fallback = true
[[pool]]
name = "fe"
slow_start = "0s"
%s
  [pool.discovery]
  type = "starrocks"
  user = "root"
  interval = "50ms"
  %s
  [[pool.backend]]
  address = %q
`, fast, more, seed.Address())
}

// discoveries counts the times that the cluster was asked, by their result.
func (p *process) discoveries(result string) int {
	p.t.Helper()
	n, err := strconv.Atoi(p.metrics()[fmt.Sprintf(`fairlead_discoveries_total{pool="fe",result=%q}`, result)])
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// rediscovers returns when the cluster has been asked once more, from now on, with that result.
func (p *process) rediscovers(result string) {
	p.t.Helper()
	before := p.discoveries(result)
	p.poll("another discovery: "+result, func() bool { return p.discoveries(result) >= before+2 }) // one may be under way
}

// members are those that the pool has, by their addresses; those that have only sessions left are Removed.
func (p *process) members() map[string]balancer.BackendStatus {
	p.t.Helper()
	s, err := control.NewClient(p.socket).Status(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]balancer.BackendStatus{}
	for _, b := range s.Pools[0].Backends {
		all[b.Addresses[0].String()] = b
	}
	return all
}

// guests come to a listener all the time.
func guests(p *process, listener string) load {
	return load{Address: p.address(listener), User: "root", Question: whichFE, Every: 5 * time.Millisecond}
}

// enterThrough makes one session through a listener, and tells where it leads.
func (p *process) enterThrough(listener string) (*sql.Conn, string) {
	p.t.Helper()
	c := connect(p.t, p.open(listener))
	return c, ask(p.t, c, whichFE)
}

// TestFrontEndsComeAndGo: with logins going on all the time front ends join and leave, and no login fails. Sessions on one
// that left go on.
func TestFrontEndsComeAndGo(t *testing.T) {
	cluster := startCluster(t, 3)
	p := start(t, discovering(cluster.Members()[0], ""))
	f := come(t, guests(p, "any"))
	for _, name := range []string{"fe1", "fe2", "fe3"} {
		f.served(name, time.Time{})
	}
	if all := p.status().Discoveries; len(all) != 1 || all[0].Members != 3 || all[0].Seed == "" || all[0].Answered.IsZero() || all[0].Error != "" {
		t.Errorf("discovery's status: %+v", all)
	}
	for range 3 {
		added, err := cluster.Add(fakefe.Observer)
		if err != nil {
			t.Fatal(err)
		}
		f.served(added.Name(), time.Time{})
		db := p.open("readers")
		held := connect(t, db)
		if on := ask(t, held, whichFE); on != added.Name() {
			t.Errorf("the only observer is %s, and readers are led to %s", added.Name(), on)
		}
		if err := cluster.Drop(added); err != nil {
			t.Fatal(err)
		}
		p.poll("the pool to be without "+added.Name(), func() bool {
			b, ok := p.members()[added.Address()]
			return !ok || b.Removed && b.Sessions == 1
		})
		gone := time.Now()
		f.more(20, gone)
		if wrong := f.visits(func(v visit) bool { return v.Began.After(gone) && v.Server == added.Name() }); len(wrong) > 0 {
			t.Errorf("clients were led to %s, which had left: %s", added.Name(), listed(wrong))
		}
		if got := ask(t, held, whichFE); got != added.Name() {
			t.Errorf("the session on %s answers %s", added.Name(), got)
		}
		if b := p.members()[added.Address()]; !b.Removed || b.Sessions != 1 {
			t.Errorf("its status: %+v", b)
		}
		held.Close()
		db.Close()
		p.poll("the session's end", func() bool { _, ok := p.members()[added.Address()]; return !ok })
		added.Stop()
		p.poll("nothing to be left of "+added.Name(), func() bool {
			for series := range p.metrics() {
				if strings.Contains(series, added.Address()) {
					return false
				}
			}
			return true
		})
	}
	f.stop()
	if failed := f.visits(func(v visit) bool { return v.Failed != "" || v.Unasked != "" }); len(failed) > 0 {
		t.Errorf("logins or their queries failed: %s", listed(failed))
	}
}

// TestSeedsAreLost: those that were found are asked when the one that is configured is gone, and when all are gone the list
// stays as it was.
func TestSeedsAreLost(t *testing.T) {
	cluster := startCluster(t, 3)
	fes := cluster.Members()
	p := start(t, discovering(fes[0], ""))
	p.poll("three front ends to be up", func() bool {
		up := 0
		for _, b := range p.members() {
			if b.State == balancer.Up {
				up++
			}
		}
		return up == 3
	})
	f := come(t, guests(p, "any"))
	f.more(20, time.Now())
	suffer(t, fes[0], fakefe.Refuse)
	added, err := cluster.Add(fakefe.Observer)
	if err != nil {
		t.Fatal(err)
	}
	f.served(added.Name(), time.Time{})
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}

	for _, fe := range cluster.Members() {
		suffer(t, fe, fakefe.Kill)
	}
	p.rediscovers("failure")
	if n := len(p.members()); n != 4 {
		t.Errorf("with all front ends gone the pool has %d members", n)
	}
	r := p.awaitMessage("no list of front ends: keeping what is known")
	for _, fe := range cluster.Members() {
		if reason := fmt.Sprint(r["reason"]); !strings.Contains(reason, fe.Address()+": ") {
			t.Errorf("the reason does not name %s: %s", fe.Address(), reason)
		}
	}
	suffer(t, fes[2], fakefe.None)
	p.awaitMessage("front ends are listed again")
	p.poll("the one that is back to serve", func() bool {
		answer, err := tryAsk(t, openDB(t, "root@tcp("+p.address("any")+")/"), whichFE)
		return err == nil && answer == fes[2].Name()
	})
}

// TestMinimum: a list that has shrunk too much is not believed.
func TestMinimum(t *testing.T) {
	cluster := startCluster(t, 3)
	fes := cluster.Members()
	p := start(t, discovering(fes[0], "minimum = 3"))
	p.poll("three members", func() bool { return len(p.members()) == 3 })
	if err := cluster.Drop(fes[2]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fes[2].Stop)
	p.rediscovers("rejected")
	if n := len(p.members()); n != 3 {
		t.Errorf("the pool has %d members", n)
	}
	f := come(t, guests(p, "any"))
	f.served("fe3", time.Now())
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}
	r := p.awaitMessage("no list of front ends: keeping what is known")
	if !strings.Contains(fmt.Sprint(r["reason"]), "2 of at least 3") || fmt.Sprint(r["known"]) != "3" {
		t.Errorf("the log says %v", r)
	}
	if m := p.metrics(); m[`fairlead_discovery_members{pool="fe"}`] != "3" {
		t.Errorf("the metrics tell of %s members", m[`fairlead_discovery_members{pool="fe"}`])
	}
	if _, err := cluster.Add(fakefe.Observer); err != nil {
		t.Fatal(err)
	}
	p.poll("the one that left to be gone", func() bool { _, ok := p.members()[fes[2].Address()]; return !ok })
}

// TestDiscoveryByName: each address of a name is a member.
func TestDiscoveryByName(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	_, port, _ := strings.Cut(fe.Address(), ":")
	p := start(t, fmt.Sprintf(`
[[listener]]
name = "any"
bind = "127.0.0.1:0"
pool = "fe"
[[pool]]
name = "fe"
  [pool.discovery]
  type = "dns"
  name = "localhost:%s"
`, port))
	if _, ok := p.members()[fe.Address()]; !ok {
		t.Errorf("the members are %+v", p.members())
	}
	if _, on := p.enterThrough("any"); on != "fe1" {
		t.Errorf("led to %s", on)
	}
	fairlead(t, "discover", "-c", p.config).wants(t, 0, fe.Address(), "")
}

// TestNewcomersAreProbedFirst: one that was found takes no session before a probe has succeeded, not even in vain.
func TestNewcomersAreProbedFirst(t *testing.T) {
	seed, newcomer := startFE(t, fakefe.Config{}), startFE(t, fakefe.Config{Name: "newcomer"})
	suffer(t, newcomer, fakefe.ErrorFirst)
	row := func(fe *fakefe.FE, role fakefe.Role) fakefe.Frontend {
		host, digits, _ := strings.Cut(fe.Address(), ":")
		port, err := strconv.Atoi(digits)
		if err != nil {
			t.Error(err)
		}
		return fakefe.Frontend{Name: fe.Name(), Host: host, QueryPort: port, Role: role, Alive: true}
	}
	seed.SetFrontends(func() []fakefe.Frontend {
		return []fakefe.Frontend{row(seed, fakefe.Leader), row(newcomer, fakefe.Observer)}
	})
	p := start(t, discovering(seed, ""))
	f := come(t, guests(p, "readers")) // who would all be led to the observer
	f.more(50, time.Now())
	if b := p.members()[newcomer.Address()]; b.Role != balancer.Observer || b.Total != 0 || b.Failures != 0 {
		t.Errorf("clients were led to one that was never found fit: %+v", b)
	}
	suffer(t, newcomer, fakefe.None)
	f.served("newcomer", time.Time{})
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}
}
