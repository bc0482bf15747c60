package check

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairlead/internal/config"
	"fairlead/internal/fakefe"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

func startFE(t *testing.T) *fakefe.FE {
	t.Helper()
	fe, err := fakefe.Start(fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fe.Stop)
	return fe
}

// parse makes a file with these backends in one pool.
func parse(t *testing.T, backends string) *config.File {
	t.Helper()
	f, err := config.Parse("test.toml", []byte("[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n[[pool]]\nname = \"fe\"\n"+
		"[pool.probe]\ntimeout = \"10s\"\n"+backends))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestBackends(t *testing.T) {
	good, bad := startFE(t), startFE(t)
	if err := bad.Set(fakefe.ErrorFirst); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(good.Address(), ":")
	f := parse(t, fmt.Sprintf(`
[[pool.backend]]
name = "good"
address = %q
role = "leader"
[[pool.backend]]
address = %q
[[pool.backend]]
name = "named"
address = "localhost:%s"
[[pool.backend]]
address = "localhost.invalid:1"
expand = true
`, good.Address(), bad.Address(), port))
	all := Backends(t.Context(), f)
	if len(all) != 4 {
		t.Fatalf("%d findings: %+v", len(all), all)
	}
	if a := all[0]; a.Pool != "fe" || a.Backend != "good" || a.State != probe.Fit || a.Role != "leader" || a.Version != "8.0.33" ||
		a.Connect <= 0 || a.Greeting <= 0 || a.Reason != "" || a.Address.String() != good.Address() || !a.Good() {
		t.Errorf("good: %+v", a)
	}
	if a := all[1]; a.Backend != bad.Address() || a.State != probe.Unfit || !strings.HasPrefix(a.Reason, "greeting:") || a.Good() {
		t.Errorf("bad: %+v", a)
	}
	if a := all[2]; a.Backend != "named" || a.State != probe.Fit {
		t.Errorf("by name: %+v", a)
	}
	if a := all[3]; a.Backend != "localhost.invalid:1" || a.State != probe.Unfit || !strings.HasPrefix(a.Reason, "resolve: ") || a.Address.IsValid() {
		t.Errorf("no such name: %+v", a)
	}
	if got := Summary(f); got != "test.toml is right: 1 listener, 1 pool, 4 backends" {
		t.Error(got)
	}
}

// TestExpand: a name to be expanded is as many backends as it has addresses.
func TestExpand(t *testing.T) {
	fe := startFE(t)
	_, port, _ := strings.Cut(fe.Address(), ":")
	all := Backends(t.Context(), parse(t, "[[pool.backend]]\naddress = \"localhost:"+port+"\"\nexpand = true\n"))
	found := false
	for _, a := range all {
		if a.Backend != a.Address.String() {
			t.Errorf("%+v is not called by its address", a)
		}
		found = found || a.Backend == fe.Address() && a.State == probe.Fit
	}
	if !found {
		t.Errorf("no %s among %+v", fe.Address(), all)
	}
}

func TestAddress(t *testing.T) {
	fe := startFE(t)
	f, err := Address(t.Context(), fe.Address(), probe.Config{Timeout: 10 * time.Second, HTTP: "http://" + fe.HTTPAddress() + "/api/health", LeaderFromMetrics: true})
	if err != nil || f.State != probe.Fit || f.Role != "leader" {
		t.Errorf("%+v, %v", f, err)
	}
	for _, address := range []string{"10.0.0.1", ":9030", "10.0.0.1:", "10.0.0.1:mysql", "10.0.0.1:0", "10.0.0.1:65536", "fd00::1:9030"} {
		var bad *AddressError
		if _, err := Address(t.Context(), address, probe.Config{}); !errors.As(err, &bad) || bad.Address != address {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestGood(t *testing.T) {
	for _, c := range []struct {
		f    Finding
		want bool
	}{
		{Finding{State: probe.Fit}, true}, {Finding{State: probe.Leaving}, true}, {Finding{State: probe.Unfit}, false},
		{Finding{State: probe.Undecided}, false}, {Finding{State: probe.Fit, Misconfigured: true}, false},
	} {
		if got := c.f.Good(); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}

func TestShow(t *testing.T) {
	var got strings.Builder
	err := Show(&got, terminal.Style{}, []Finding{
		{Pool: "fe", Backend: "one", State: probe.Fit, Version: "8.0.33", Connect: 250 * time.Microsecond, Greeting: 1200 * time.Microsecond},
		{Pool: "fe", Backend: "two", State: probe.Unfit, Reason: "connect: \x07refused"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `POOL  BACKEND  STATE  VERSION  CONNECT  GREETING  REASON
fe    one      fit    8.0.33     250µs     1.2ms
fe    two      unfit                              connect: \arefused
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}
