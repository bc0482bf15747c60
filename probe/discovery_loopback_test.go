package probe

import (
	"errors"
	"testing"
	"time"

	"fairlead/internal/fakefe"
	"fairlead/metrics"
)

// TestDiscoveryOverLoopback: a cluster that can be logged in to, an election, members that come and go, and the loss of
// the only seed that is configured.
func TestDiscoveryOverLoopback(t *testing.T) {
	for name, flavour := range map[string]fakefe.Flavour{"StarRocks": fakefe.StarRocks, "Doris": fakefe.Doris} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, err := fakefe.StartCluster(3, fakefe.Config{Flavour: flavour, Users: map[string]string{"monitor": "secret"}})
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Stop()
			seed := cluster.Members()[0]
			found := make(chan Listing, 1000)
			d := StartDiscovery(DiscoveryOptions{
				Pool:    "fe",
				Config:  Config{Interval: 5 * time.Millisecond, Timeout: long, User: "monitor", PasswordFile: file(t, "secret\n")},
				Seeds:   []string{seed.Address()},
				Found:   func(l Listing) error { found <- l; return nil },
				Log:     quiet,
				Metrics: metrics.New(metrics.BuildInfo{}),
			})
			defer d.Close()
			await := func(what string, wanted func(map[string]string) bool) {
				t.Helper()
				for {
					select {
					case l := <-found:
						roles := map[string]string{}
						for _, f := range l.Frontends {
							roles[f.Address()] = f.Role
						}
						if wanted(roles) {
							return
						}
					case <-time.After(long):
						t.Fatalf("waited in vain for %s", what)
					}
				}
			}
			two := cluster.Members()[1]
			await("three members", func(roles map[string]string) bool {
				return len(roles) == 3 && roles[seed.Address()] == RoleLeader && roles[two.Address()] == RoleFollower
			})
			if err := cluster.MoveLeader(two); err != nil {
				t.Fatal(err)
			}
			await("the election", func(roles map[string]string) bool {
				return roles[seed.Address()] == RoleFollower && roles[two.Address()] == RoleLeader
			})
			if err := cluster.Remove(seed); err != nil {
				t.Fatal(err)
			}
			await("the seed to go", func(roles map[string]string) bool { return len(roles) == 2 && roles[seed.Address()] == "" })
			four, err := cluster.Add(fakefe.Observer)
			if err != nil {
				t.Fatal(err)
			}
			await("a new member", func(roles map[string]string) bool { return len(roles) == 3 && roles[four.Address()] == RoleObserver })
		})
	}
}

// TestSeedsThatDeny: the reason names the seed and the step.
func TestSeedsThatDeny(t *testing.T) {
	fe, err := fakefe.Start(fakefe.Config{Users: map[string]string{"monitor": "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer fe.Stop()
	_, err = ListFrontends(t.Context(), Config{Timeout: long, User: "monitor"}, []string{fe.Address()}, nil)
	want := "probe: no list of front ends: " + fe.Address() + `: login: user "monitor" is refused: error 1045 (28000) `
	var all SeedErrors
	if !errors.As(err, &all) || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
		t.Errorf("got  %v\nwant %s…", err, want)
	}
}
