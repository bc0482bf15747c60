package e2e

import (
	"fmt"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// TestElection: the listener of the leader follows with the next discovery, and nobody else notices.
func TestElection(t *testing.T) {
	cluster := startCluster(t, 4)
	fes := cluster.Members()
	p := start(t, discovering(fes[0], ""))
	f := come(t, guests(p, "leader"))
	f.served("fe1", time.Time{})
	held, on := p.enterThrough("leader")
	if on != "fe1" {
		t.Fatalf("the leader's listener leads to %s", on)
	}
	for _, next := range []*fakefe.FE{fes[1], fes[2], fes[0], fes[3]} {
		if err := cluster.MoveLeader(next); err != nil {
			t.Fatal(err)
		}
		p.rediscovers("success")
		known := time.Now()
		if _, on := p.enterThrough("leader"); on != next.Name() {
			t.Errorf("after %s was elected the leader's listener leads to %s", next.Name(), on)
		}
		f.more(20, known)
		if wrong := f.visits(func(v visit) bool { return v.Began.After(known) && v.Server != next.Name() }); len(wrong) > 0 {
			t.Errorf("after %s was elected: %s", next.Name(), listed(wrong))
		}
		if b := p.members()[next.Address()]; b.Role != balancer.Leader || b.RoleFrom != balancer.RoleFromDiscovery {
			t.Errorf("the leader's status: %+v", b)
		}
		p.command("status").wants(t, 0, "leader (discovery)", "")
	}
	if got := ask(t, held, whichFE); got != "fe1" {
		t.Errorf("a session from before answers %s", got)
	}
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}
	p.awaitMessage("backend has another role")
}

// TestFrozenLeader: the leader, which is also the seed that has always answered, accepts and is silent; the cluster elects
// another one.
func TestFrozenLeader(t *testing.T) {
	cluster := startCluster(t, 3)
	fes := cluster.Members()
	p := start(t, discovering(fes[0], ""))
	if _, on := p.enterThrough("leader"); on != "fe1" {
		t.Fatalf("the leader's listener leads to %s", on)
	}
	suffer(t, fes[0], fakefe.Freeze)
	if err := cluster.MoveLeader(fes[1]); err != nil {
		t.Fatal(err)
	}
	p.rediscovers("success")
	if _, on := p.enterThrough("leader"); on != "fe2" {
		t.Errorf("after the election the leader's listener leads to %s", on)
	}
}

// TestReaders: a listener for observers leads elsewhere only while there is none.
func TestReaders(t *testing.T) {
	cluster := startCluster(t, 4)
	observer := cluster.Members()[3]
	p := start(t, discovering(cluster.Members()[0], ""))
	p.poll("the observer to be up", func() bool { return p.members()[observer.Address()].State == balancer.Up })
	f := come(t, guests(p, "readers"))
	f.more(20, time.Now())
	if wrong := f.visits(func(v visit) bool { return v.Server != "fe4" }); len(wrong) > 0 {
		t.Errorf("readers were led to %s", listed(wrong))
	}
	suffer(t, observer, fakefe.Refuse)
	p.poll("the observer to be down", func() bool { return p.members()[observer.Address()].State == balancer.Down })
	f.more(20, time.Now())
	suffer(t, observer, fakefe.None)
	p.poll("the observer to be up again", func() bool { return p.members()[observer.Address()].State == balancer.Up })
	back := time.Now()
	f.more(20, back)
	if wrong := f.visits(func(v visit) bool { return v.Began.After(back) && v.Server != "fe4" }); len(wrong) > 0 {
		t.Errorf("with an observer again, readers were led to %s", listed(wrong))
	}
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}
}

// TestLeaderFromMetrics: without any login the front ends' metrics tell who leads.
func TestLeaderFromMetrics(t *testing.T) {
	cluster := startCluster(t, 3)
	text := "[[listener]]\nname = \"leader\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\nroles = \"leader\"\n[[pool]]\nname = \"fe\"\n" +
		fast + "  leader_from_metrics = true\n"
	for _, fe := range cluster.Members() {
		text += fmt.Sprintf("  [[pool.backend]]\n  name = %q\n  address = %q\n  http = \"http://%s/api/health\"\n", fe.Name(), fe.Address(), fe.HTTPAddress())
	}
	p := start(t, text)
	for i, fe := range cluster.Members() {
		if err := cluster.MoveLeader(fe); err != nil {
			t.Fatal(err)
		}
		p.poll(fe.Name()+" alone to be known as the leader", func() bool {
			for address, b := range p.members() {
				if b.RoleFrom != balancer.RoleFromProbe || (b.Role == balancer.Leader) != (address == fe.Address()) {
					return false
				}
			}
			return true
		})
		if _, on := p.enterThrough("leader"); on != fe.Name() {
			t.Errorf("election %d: led to %s, not to %s", i+1, on, fe.Name())
		}
	}
	p.command("status").wants(t, 0, "leader (probe)", "")
	fairlead(t, "check", "--probe", "-c", p.config).wants(t, 0, "leader (probe)", "")
}
