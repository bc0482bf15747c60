package daemon

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// TestDiscoveryAtStart: once the listeners are open, the roles are known, and those that were found by a host name are
// found by it.
func TestDiscoveryAtStart(t *testing.T) {
	cluster, err := fakefe.StartCluster(3, fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	leader := cluster.Leader()
	port := leader.Address()[strings.LastIndexByte(leader.Address(), ':'):]
	text := fmt.Sprintf("  weight = 7\n[pool.discovery]\ntype = \"starrocks\"\nuser = \"root\"\n[[listener]]\nname = \"leader\"\n" +
		"bind = \"127.0.0.1:0\"\npool = \"fe\"\nroles = \"leader\"\n")
	d, err := New(parse(t, "localhost"+port, text), Options{Output: new(logText)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	s := d.Balancer().Pool("fe").Status()
	roles := map[balancer.Role]int{}
	for _, b := range s.Backends {
		roles[b.Role]++
		if b.RoleFrom != balancer.RoleFromDiscovery {
			t.Errorf("%s has its role from %q", b.Name, b.RoleFrom)
		}
		if b.Role == balancer.Leader && (b.Name != "one" || b.Weight != 7) {
			t.Errorf("the leader is %q with weight %d", b.Name, b.Weight)
		}
	}
	if len(s.Backends) != 3 || roles[balancer.Leader] != 1 || roles[balancer.Follower] != 2 {
		t.Errorf("the members are %+v", s.Backends)
	}
}

// TestDiscoveryEndsWithTheDaemon: also when nobody answers.
func TestDiscoveryEndsWithTheDaemon(t *testing.T) {
	fe, err := fakefe.Start(fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer fe.Stop()
	if err := fe.Set(fakefe.Refuse); err != nil {
		t.Fatal(err)
	}
	log := new(logText)
	d, err := New(parse(t, fe.Address(), "[pool.discovery]\ntype = \"starrocks\"\nuser = \"root\"\n"), Options{Output: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	d.Close()
	if text := log.String(); !strings.Contains(text, "no list of front ends") || !strings.Contains(text, fe.Address()+": connect: ") {
		t.Errorf("the log:\n%s", text)
	}
}

// TestOwnHealthCheck: a backend's own URL is asked in place of the pool's.
func TestOwnHealthCheck(t *testing.T) {
	d, err := New(parse(t, "127.0.0.1:1", "  http = \"http://{host}:1/one\"\n  [[pool.backend]]\n  name = \"two\"\n  address = \"127.0.0.1:2\"\n"),
		Options{Output: new(logText)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, want := range map[string]string{"one": "http://{host}:1/one", "two": ""} {
		if got := d.probeConfig(d.Balancer().Pool("fe").Backend(name)).HTTP; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
