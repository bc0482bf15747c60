package check

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/fakefe"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

// clusterFile is a cluster of four (a leader, two followers, an observer) and a file that knows of the first two: the
// leader by its host name, the follower as an observer.
func clusterFile(t *testing.T, more string) (*fakefe.Cluster, *config.File) {
	t.Helper()
	cluster, err := fakefe.StartCluster(4, fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	fes := cluster.Members()
	_, port, _ := strings.Cut(fes[0].Address(), ":")
	text := fmt.Sprintf(`
[[listener]]
name = "any"
bind = "127.0.0.1:0"
pool = "fe"
[[listener]]
name = "leader"
bind = "127.0.0.1:0"
pool = "fe"
roles = "leader"
[[listener]]
name = "readers"
bind = "127.0.0.1:0"
pool = "fe"
roles = ["observer"]
roles_fallback = true
[[pool]]
name = "fe"
[pool.probe]
timeout = "10s"
[pool.discovery]
type = "starrocks"
user = "root"
timeout = "30s"
%s
[[pool.backend]]
name = "one"
address = "localhost:%s"
[[pool.backend]]
address = %q
role = "observer"
`, more, port, fes[1].Address())
	f, err := config.Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cluster, f
}

func TestDiscover(t *testing.T) {
	cluster, f := clusterFile(t, "")
	fes := cluster.Members()
	if err := fes[2].Set(fakefe.Refuse); err != nil {
		t.Fatal(err)
	}
	all := Discover(t.Context(), f, "")
	if len(all) != 1 || !all[0].Good() || len(all[0].Members) != 4 || !strings.HasPrefix(all[0].Seed, "localhost:") || all[0].Pool != "fe" {
		t.Fatalf("%+v", all)
	}
	for i, want := range []string{
		"fe1 leader (discovery) true any,leader readers",
		"fe2 observer (file) true any,readers ",
		"fe3 follower (discovery) false any readers",
		"fe4 observer (discovery) true any,readers ",
	} {
		m := all[0].Members[i]
		got := fmt.Sprintf("%s %s %v %s %s", m.Name, m.Role.Learnt(m.RoleFrom), *m.Alive, strings.Join(m.Listeners, ","), strings.Join(m.Fallback, ","))
		if got != want || m.Address != fes[i].Address() || m.Version == "" {
			t.Errorf("got %s at %s, want %s at %s", got, m.Address, want, fes[i].Address())
		}
	}
	var page strings.Builder
	if err := ShowDiscovered(&page, terminal.Style{}, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" lists 4 backends\n", "any, leader, readers (fallback)\n", "leader (discovery)", "no ", "CONFIGURED AS"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in\n%s", want, page.String())
		}
	}
	if all := Discover(t.Context(), f, "other"); len(all) != 0 {
		t.Errorf("another pool: %+v", all)
	}
}

func TestDiscoverInVain(t *testing.T) {
	cluster, f := clusterFile(t, "minimum = 5")
	if err := cluster.Members()[1].Set(fakefe.ErrorFirst); err != nil {
		t.Fatal(err)
	}
	all := Discover(t.Context(), f, "fe")
	if len(all) != 1 || all[0].Good() || len(all[0].Members) != 0 || len(all[0].Reasons) != 2 {
		t.Fatalf("%+v", all)
	}
	if !strings.HasSuffix(all[0].Reasons[0], ": 4 of at least 5") || !strings.Contains(all[0].Reasons[1], cluster.Members()[1].Address()+": greeting: ") {
		t.Errorf("%q", all[0].Reasons)
	}
	var page strings.Builder
	if err := ShowDiscovered(&page, terminal.Style{}, all); err != nil || strings.Count(page.String(), "\n") != 3 {
		t.Errorf("%v\n%s", err, page.String())
	}
	// The other findings stand.
	found := Backends(t.Context(), f)
	if len(found) != 3 || !found[0].Good() || found[2].Backend != "(discovery)" || found[2].Good() || !strings.Contains(found[2].Reason, "4 of at least 5") {
		t.Errorf("%+v", found)
	}
}

// TestDiscoveredAreProbed: those that are not configured come after those that are.
func TestDiscoveredAreProbed(t *testing.T) {
	cluster, f := clusterFile(t, "")
	fes := cluster.Members()
	if err := fes[3].Set(fakefe.Refuse); err != nil {
		t.Fatal(err)
	}
	all := Backends(t.Context(), f)
	if len(all) != 4 {
		t.Fatalf("%+v", all)
	}
	for i, want := range []struct {
		backend string
		state   probe.Verdict
		role    balancer.Role
		from    balancer.RoleSource
	}{
		{"one", probe.Fit, balancer.Leader, balancer.RoleFromDiscovery},
		{fes[1].Address(), probe.Fit, balancer.Observer, balancer.RoleFromFile},
		{fes[2].Address(), probe.Fit, balancer.Follower, balancer.RoleFromDiscovery},
		{fes[3].Address(), probe.Unfit, balancer.Observer, balancer.RoleFromDiscovery},
	} {
		if a := all[i]; a.Backend != want.backend || a.State != want.state || a.Role != want.role || a.RoleFrom != want.from {
			t.Errorf("got %+v, want %+v", a, want)
		}
	}
	var page strings.Builder
	if err := Show(&page, terminal.Style{}, all); err != nil || !strings.Contains(page.String(), "observer (file)") {
		t.Errorf("%v\n%s", err, page.String())
	}
}

// TestDiscoverByName: the addresses of a name.
func TestDiscoverByName(t *testing.T) {
	_, port, _ := strings.Cut(startFE(t).Address(), ":")
	parseName := func(name, more string) *config.File {
		f, err := config.Parse("test.toml", []byte("[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n[[pool]]\nname = \"fe\"\n"+
			"[pool.discovery]\ntype = \"dns\"\nname = \""+name+"\"\n"+more))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	all := Discover(t.Context(), parseName("localhost:"+port, ""), "")
	if len(all) != 1 || !all[0].Good() || all[0].Seed != "localhost:"+port || len(all[0].Members) == 0 {
		t.Fatalf("%+v", all)
	}
	if m := all[0].Members[0]; m.Address != "127.0.0.1:"+port || m.Alive != nil || m.Role != "" || strings.Join(m.Listeners, ",") != "mysql" {
		t.Errorf("%+v", m)
	}
	if all := Discover(t.Context(), parseName("localhost:"+port, "minimum = 9"), ""); all[0].Good() || !strings.HasSuffix(all[0].Reasons[0], "of at least 9") {
		t.Errorf("%+v", all)
	}
	if all := Discover(t.Context(), parseName("fe.invalid:1", ""), ""); all[0].Good() || !strings.HasPrefix(all[0].Reasons[0], "fe.invalid:1: ") {
		t.Errorf("%+v", all)
	}
}
