package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"fairlead/internal/check"
	"fairlead/internal/fakefe"
)

// TestDiscoverCommand: what would be found, and who would lead there.
func TestDiscoverCommand(t *testing.T) {
	cluster := startCluster(t, 4)
	fes := cluster.Members()
	config := writeConfig(t, socketDir(t), discovering(fes[0], ""))
	out := fairlead(t, "discover", "--dry-run", "-c", config)
	out.wants(t, 0, "pool fe: "+fes[0].Address()+" lists 4 backends", "")
	for i, want := range []string{"leader (discovery)", "follower (discovery)", "follower (discovery)", "observer (discovery)"} {
		line := ""
		for l := range strings.Lines(out.stdout) {
			if strings.Contains(l, fes[i].Address()+" ") && !strings.Contains(l, "lists") {
				line = l
			}
		}
		if !strings.Contains(line, want) || !strings.Contains(line, "yes") || !strings.HasPrefix(line, fes[i].Name()) {
			t.Errorf("%s: %q", fes[i].Name(), line)
		}
	}
	var all []check.Discovered
	if err := json.Unmarshal([]byte(fairlead(t, "discover", "fe", "--json", "-c", config).stdout), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v, %+v", err, all)
	}
	if m := all[0].Members[0]; strings.Join(m.Listeners, " ") != "any leader" || strings.Join(m.Fallback, " ") != "readers" {
		t.Errorf("the leader is led to by %+v", m)
	}
	fairlead(t, "check", "--probe", "-c", config).wants(t, 0, "observer (discovery)", "")
	fairlead(t, "discover", "other", "-c", config).wants(t, 2, "", `no such pool: "other"`)
	fairlead(t, "discover", "fe", "fe", "-c", config).wants(t, 2, "", "one POOL at most")
	fairlead(t, "discover", "--dry-run=false", "-c", config).wants(t, 2, "", "discovers by itself")
	without := writeConfig(t, socketDir(t), inFront(fes[0]))
	fairlead(t, "discover", "-c", without).wants(t, 2, "", "no pool of "+without+" has a [pool.discovery]")
	fairlead(t, "discover", "fe", "-c", without).wants(t, 2, "", `pool "fe" of `+without+" has no [pool.discovery]")

	suffer(t, fes[0], fakefe.ErrorFirst)
	fairlead(t, "discover", "--dry-run", "-c", config).wants(t, 1, fes[0].Address()+": greeting: the server refuses: error 1040", "")
	fairlead(t, "check", "--probe", "-c", config).wants(t, 1, "(discovery)", "")
	denied := writeConfig(t, socketDir(t), strings.Replace(discovering(fes[1], ""), `user = "root"`, `user = "nobody"`, 1))
	fairlead(t, "discover", "-c", denied).wants(t, 1, fes[1].Address()+`: login: user "nobody" is refused`, "")
}

// TestBadDiscovery: what can't work is refused by check and at the start, with line and reason.
func TestBadDiscovery(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	good := discovering(fe, "")
	for name, c := range map[string]struct{ old, new, want string }{
		"user":       {`user = "root"`, ``, "needs user"},
		"role":       {`roles = ["leader"]`, `roles = ["ledaer"]`, `unknown role "ledaer": did you mean "leader"?`},
		"nobody":     {`type = "starrocks"`, `type = ""`, `no backend of pool "fe" can have the role "leader"`},
		"negative":   {`interval = "50ms"`, `interval = "-1s"`, "interval must not be negative"},
		"no meaning": {`roles = ["observer"]`, ``, "roles_fallback without roles"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := writeConfig(t, socketDir(t), strings.Replace(good, c.old, c.new, 1))
			for _, command := range []string{"check", "run"} {
				out := fairlead(t, command, "-c", bad)
				out.wants(t, 2, "", c.want)
				out.wants(t, 2, "", bad+":")
			}
		})
	}
}
