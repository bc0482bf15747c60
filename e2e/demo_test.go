package e2e

import (
	"net"
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	o := fairlead(t, "demo", "--for", "2s", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--chaos", "--seed", "1", "--fes", "2")
	o.wants(t, 0, "mysql -h127.0.0.1 -P", "")
	for _, want := range []string{"2 stand-in front ends", "fe1 is up", "fe2 is up", "curl http://127.0.0.1:", "/   # the status page", "status --watch",
		"--seed 1", "the end"} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("%q is missing from\n%s", want, o.stdout)
		}
	}
	if o.stderr != "" {
		t.Errorf("it complains: %s", o.stderr)
	}
}

func TestDemoPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := fairlead(t, "demo", "--for", "1h", "--listen", taken.Addr().String(), "--admin", "127.0.0.1:0")
	o.wants(t, 2, "", "address already in use")
	o.wants(t, 2, "", "--listen 127.0.0.1:19030")
}
