package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/metrics"
)

// ordersRig makes a balancer of two backends, and the keeper of its orders.
func ordersRig(t *testing.T, path string, log *strings.Builder) (*orders, *balancer.Pool) {
	t.Helper()
	pool := config.Default().Pool
	pool.Name, pool.Backends = "fe", []balancer.BackendConfig{{Name: "one", Address: "127.0.0.1:1", Weight: 1}, {Name: "two", Address: "127.0.0.1:2", Weight: 1}}
	b, err := balancer.New(balancer.Config{Engine: config.Default().Engine, Pools: []balancer.PoolConfig{pool}},
		balancer.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &orders{path: path, balancer: b, log: slog.New(slog.NewTextHandler(log, nil))}, b.Pool("fe")
}

func TestOrdersSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var log strings.Builder
	o, p := ordersRig(t, path, &log)
	o.restore() // there is no file yet
	for _, state := range []balancer.Order{balancer.Drain, balancer.Disable} {
		if err := p.Order(p.Backend("two"), balancer.Standing{Order: state, By: "root"}); err != nil {
			t.Fatal(err)
		}
		if err := o.keep(); err != nil {
			t.Fatal(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("told: %s", log.String())
	}
	again, p := ordersRig(t, path, &log)
	again.restore()
	s := p.Status()
	if s.Backends[0].Order != "" || s.Backends[1].Order != "disable" || s.Backends[1].OrderedBy != "root" || s.Backends[1].State != balancer.Disabled {
		t.Errorf("after a restart: %+v", s)
	}
	if names, err := os.ReadDir(filepath.Dir(path)); err != nil || len(names) != 1 {
		t.Errorf("the directory holds %v, %v", names, err)
	}
}

// TestDamagedState: whatever stands in the file, fairlead serves, and says that orders are forgotten.
func TestDamagedState(t *testing.T) {
	for name, c := range map[string]struct{ text, told string }{
		"empty":          {"", "unexpected end of JSON input"},
		"no JSON":        {"\x00\xff", "invalid character"},
		"cut short":      {`{"version":1,"orders":[{"pool":"fe","back`, "unexpected end of JSON input"},
		"another order":  {`{"version":1,"orders":[{"pool":"fe","backend":"one","order":"explode"}]}`, `no order is called`},
		"another type":   {`{"version":1,"orders":{}}`, "cannot unmarshal"},
		"too new":        {`{"version":2}`, "version 2"},
		"too long":       {strings.Repeat(" ", mostState+1), "more than"},
		"another pool":   {`{"version":1,"orders":[{"pool":"gone","backend":"one","order":"drain"}]}`, "pool that is not there"},
		"nothing at all": {`{"version":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			o, p := ordersRig(t, path, &log)
			o.restore()
			if !strings.Contains(log.String(), c.told) || c.told == "" && strings.Contains(log.String(), "ERROR") {
				t.Errorf("told %q, want %q", log.String(), c.told)
			}
			for _, b := range p.Status().Backends {
				if b.Order != "" {
					t.Errorf("an order stands: %+v", b)
				}
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
				t.Errorf("the file was changed: %q, %v", text, err)
			}
		})
	}
}

func TestStateThatCannotBeKept(t *testing.T) {
	var log strings.Builder
	o, _ := ordersRig(t, filepath.Join(t.TempDir(), "gone", "state"), &log)
	if err := o.keep(); err == nil || !strings.Contains(log.String(), "a restart will forget") {
		t.Errorf("%v, told %q", err, log.String())
	}
}
