package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/fakefe"
	"fairlead/metrics"
	"fairlead/probe"
)

// names answer look-ups in place of DNS, each with addresses between spaces.
type names map[string]string

func (n names) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	if n[host] == "" {
		return nil, errors.New("no such host")
	}
	var all []netip.Addr
	for _, a := range strings.Fields(n[host]) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

// TestKin: front ends that are listed under another name than they are configured with.
func TestKin(t *testing.T) {
	dns := names{"fe2.example": "10.0.0.2 2001:db8::2", "fe3.example": "10.0.0.3", "all.example": "10.0.0.1 10.0.0.2 10.0.0.4"}
	for name, c := range map[string]struct {
		configured, listed, want string // each host:port between spaces; "+" is expand
	}{
		"addresses":               {"10.0.0.1:9030", "10.0.0.1:9030 10.0.0.2:9030", "10.0.0.1:9030 10.0.0.2:9030"},
		"as configured":           {"[2001:DB8::1]:9030 FE1.example:9030", "[2001:db8::1]:9030 fe1.example:9030", "[2001:DB8::1]:9030 FE1.example:9030"},
		"by address":              {"fe2.example:9030", "10.0.0.1:9030 10.0.0.2:9030", "10.0.0.1:9030 fe2.example:9030"},
		"another port":            {"fe2.example:9031", "10.0.0.2:9030", "10.0.0.2:9030"},
		"by IPv6":                 {"fe2.example:9030", "[2001:db8::2]:9030", "fe2.example:9030"},
		"listed by name":          {"fe3.example:9030", "fe3.example:9030 10.0.0.3:9030", "fe3.example:9030 10.0.0.3:9030"},
		"a name for all of them":  {"all.example:9030", "10.0.0.1:9030 10.0.0.2:9030", "10.0.0.1:9030 10.0.0.2:9030"},
		"two names for one":       {"fe2.example:9030 all.example:9030", "10.0.0.2:9030", "fe2.example:9030"},
		"a name that is expanded": {"+fe2.example:9030", "10.0.0.2:9030", "10.0.0.2:9030"},
		"no such name":            {"gone.example:9030", "10.0.0.2:9030", "10.0.0.2:9030"},
	} {
		t.Run(name, func(t *testing.T) {
			pool := config.Default().Pool
			pool.Name = "fe"
			for _, address := range strings.Fields(c.configured) {
				b := config.Default().Backend
				b.Address, b.Expand = strings.TrimPrefix(address, "+"), strings.HasPrefix(address, "+")
				pool.Backends = append(pool.Backends, b)
			}
			b, err := balancer.New(balancer.Config{Engine: config.Default().Engine, Pools: []balancer.PoolConfig{pool}},
				balancer.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			k := &kin{ctx: t.Context(), pool: b.Pool("fe"), lookup: dns.lookup}
			var list []probe.Frontend
			for _, address := range strings.Fields(c.listed) {
				at := strings.LastIndexByte(address, ':')
				list = append(list, probe.Frontend{Host: strings.Trim(address[:at], "[]"), QueryPort: 9030, Role: "leader"})
			}
			var got []string
			for _, f := range k.members(list) {
				got = append(got, f.Address)
				if f.Role != balancer.Leader {
					t.Errorf("the role is %q", f.Role)
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if seeds := strings.Join(k.seeds(), " "); seeds != strings.ReplaceAll(c.configured, "+", "") {
				t.Errorf("the seeds are %s", seeds)
			}
		})
	}
}

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
