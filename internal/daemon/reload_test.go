package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// reloadRig is a daemon with a file of its own.
type reloadRig struct {
	*Daemon
	t       *testing.T
	path    string
	log     *logText
	address netip.AddrPort // of its listener, so that others can be taken
}

func startReloadable(t *testing.T, text string) *reloadRig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &reloadRig{t: t, path: filepath.Join(t.TempDir(), "config.toml"), log: new(logText), address: l.Addr().(*net.TCPAddr).AddrPort()}
	l.Close()
	r.write(text)
	load := func() (*config.File, error) { return config.Load(r.path) }
	file, err := load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(file, Options{Output: r.log, Load: load})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	r.Daemon = d
	return r
}

// write writes the file: with listener, admin and socket of the rig, and what text says besides.
func (r *reloadRig) write(text string) {
	r.t.Helper()
	head := "[admin]\nlisten = \"\"\nsocket = \"\"\n[[listener]]\nname = \"mysql\"\nbind = \"" + r.address.String() + "\"\npool = \"fe\"\n"
	temporary := r.path + ".new"
	if err := os.WriteFile(temporary, []byte(head+text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temporary, r.path); err != nil {
		r.t.Fatal(err)
	}
}

func pool(more string, backends ...string) string {
	text := "[[pool]]\nname = \"fe\"\n" + more
	for _, b := range backends {
		text += "[[pool.backend]]\naddress = \"" + b + "\"\n"
	}
	return text
}

// fresh starts stand-in front ends.
func fresh(t *testing.T, n int) (addresses []string) {
	for range n {
		fe, err := fakefe.Start(fakefe.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fe.Stop)
		addresses = append(addresses, fe.Address())
	}
	return addresses
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestReload(t *testing.T) {
	fes := fresh(t, 2)
	r := startReloadable(t, pool("", fes[0]))
	first := r.Balancer().Pool("fe").Backends()[0]
	eventually(t, "the backend to be up", func() bool { return first.State() == balancer.Up })

	r.write("[log]\nlevel = \"debug\"\nformat = \"json\"\n[engine]\nloops = 7\n" + pool("[pool.probe]\ninterval = \"100ms\"\nrise = 1\n", fes...))
	found, err := r.reloader.Diff()
	if err != nil || len(found.Changes) == 0 {
		t.Fatalf("%+v, %v", found, err)
	}
	if n := len(r.Balancer().Pool("fe").Backends()); n != 1 {
		t.Errorf("a diff has changed something: %d backends", n)
	}
	done, err := r.reloader.Reload("a test")
	if err != nil || fmt.Sprint(done) != fmt.Sprint(found) {
		t.Fatalf("%+v, %v; before that %+v", done, err, found)
	}
	members := r.Balancer().Pool("fe").Backends()
	if len(members) != 2 || members[0] != first || first.State() != balancer.Up {
		t.Errorf("members: %v", members)
	}
	eventually(t, "the new one to be up", func() bool { return members[1].State() == balancer.Up })
	eventually(t, "the log to be JSON of debug", func() bool {
		return strings.Contains(r.log.String(), `{"time":`) && strings.Contains(r.log.String(), `"level":"DEBUG"`)
	})
	// What needs a restart is told again and again, and nothing else.
	again, err := r.reloader.Reload("a test")
	if err != nil || len(again.Changes) != 1 || again.Changes[0].Key != "loops" || !again.Changes[0].Restart {
		t.Errorf("%+v, %v", again, err)
	}
	if r.file().Balancer.Engine.Loops != 0 {
		t.Error("the loops are said to be in force")
	}
	if code := metric(t, r.Daemon, "fairlead_config_reloads_total", "success"); code != 2 {
		t.Errorf("%v reloads are counted", code)
	}
}

// metric is a counter's or a gauge's value.
func metric(t *testing.T, d *Daemon, name string, labels ...string) float64 {
	t.Helper()
	families, err := d.metrics.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() != name || len(labels) > 0 && m.GetLabel()[0].GetValue() != labels[0] {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return -1
}

func TestReloadOfFaultyFiles(t *testing.T) {
	fes := fresh(t, 1)
	r := startReloadable(t, pool("", fes[0]))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := r.file()
	for name, c := range map[string]struct{ text, want string }{
		"a typing error": {pool("polcy = \"x\"\n", fes[0]), r.path + `:10: unknown key "polcy"`},
		"no TOML":        {"[[[", r.path + ":8: "},
		"a taken port": {"[[listener]]\nname = \"two\"\nbind = \"" + taken.Addr().String() + "\"\npool = \"fe\"\n" + pool("", fes[0]),
			r.path + `:10: listener "two" can't listen on ` + taken.Addr().String() + ": address already in use"},
		"an unknown name": {pool("", "no-such-host.invalid:9030"), `pool "fe" would be left without any address: no-such-host.invalid`},
	} {
		t.Run(name, func(t *testing.T) {
			r.write(c.text)
			failed := metric(t, r.Daemon, "fairlead_config_reloads_total", "failure")
			_, err := r.reloader.Reload("a test")
			var faulty *control.FileError
			if !errors.As(err, &faulty) || !strings.Contains(faulty.Message, c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if r.file() != good || len(r.Balancer().Status().Listeners) != 1 || r.Balancer().Pool("fe").Backends()[0].Config().Address != fes[0] {
				t.Error("something has changed")
			}
			if n := metric(t, r.Daemon, "fairlead_config_reloads_total", "failure"); n != failed+1 {
				t.Errorf("%v failures are counted, before that %v", n, failed)
			}
			if n := metric(t, r.Daemon, "fairlead_config_last_reload_successful"); n != 0 {
				t.Errorf("the latest reload is said to have succeeded: %v", n)
			}
		})
	}
	r.write(pool("", fes[0]))
	if _, err := r.reloader.Reload("a test"); err != nil {
		t.Error(err)
	}
	if n := metric(t, r.Daemon, "fairlead_config_last_reload_successful"); n != 1 {
		t.Errorf("the latest reload is said to have failed: %v", n)
	}
	r.Close()
	if _, err := r.reloader.Reload("a test"); !errors.Is(err, balancer.ErrClosing) {
		t.Errorf("after the end: %v", err)
	}
}

// TestReloadOfOneProbe: a URL that changes for one backend alone is asked from then on.
func TestReloadOfOneProbe(t *testing.T) {
	fes := fresh(t, 1)
	r := startReloadable(t, pool("", fes[0]))
	b := r.Balancer().Pool("fe").Backends()[0]
	eventually(t, "the backend to be up", func() bool { return b.State() == balancer.Up })
	r.write(pool("[pool.probe]\nfall = 1\n", fes[0]) + "http = \"http://127.0.0.1:1/\"\n")
	if _, err := r.reloader.Reload("a test"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backend to be down", func() bool { return b.State() == balancer.Down })
	if r.Balancer().Pool("fe").Backends()[0] != b {
		t.Error("it is another backend")
	}
}

// TestReloadOfDiscovery: discovery begins, goes on where nothing of it has changed, and ends, by reloads.
func TestReloadOfDiscovery(t *testing.T) {
	cluster, err := fakefe.StartCluster(3, fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	seed := cluster.Leader().Address()
	r := startReloadable(t, pool("", seed))
	reload := func(text string) {
		t.Helper()
		r.write(text)
		if _, err := r.reloader.Reload("a test"); err != nil {
			t.Fatal(err)
		}
	}
	found := func() balancer.PoolStatus { return r.Balancer().Pool("fe").Status() }
	const discovery = "[pool.discovery]\ntype = \"starrocks\"\nuser = \"root\"\n"
	reload(pool(discovery, seed))
	if s := found(); len(s.Backends) != 3 || s.Backends[0].Role != balancer.Leader {
		t.Errorf("with discovery: %+v", s.Backends)
	}
	running := r.finding.running[0]
	reload(pool("policy = \"round-robin\"\n"+discovery, seed))
	if s := found(); len(s.Backends) != 3 || r.finding.running[0] != running {
		t.Errorf("what has not changed has begun anew, or forgotten: %+v", s.Backends)
	}
	reload(pool(discovery+"interval = \"7s\"\n", seed))
	if s := found(); len(s.Backends) != 3 || r.finding.running[0] == running {
		t.Errorf("what has changed goes on as it was, or has forgotten: %+v", s.Backends)
	}
	reload(pool("", seed))
	if s := found(); len(s.Backends) != 1 || s.Backends[0].Role != "" || len(r.finding.running) != 0 {
		t.Errorf("without discovery: %+v", s.Backends)
	}
	if n := metric(t, r.Daemon, "fairlead_discovery_members"); n != -1 {
		t.Errorf("series of the discovery are left: %v", n)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// As Kubernetes mounts a ConfigMap: config.toml → ..data/config.toml, ..data → a directory for each version.
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(dir, version, "config.toml"), "same size "+version)
	}
	link := func(to, name string) {
		t.Helper()
		temporary := filepath.Join(dir, "tmp")
		if err := os.Symlink(to, temporary); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(temporary, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link("..data/config.toml", "config.toml")
	path := filepath.Join(dir, "config.toml")
	var w watch
	expect := func(when string, want ...bool) {
		t.Helper()
		for i, changed := range want {
			if got := w.changed(path); got != changed {
				t.Errorf("%s, look %d: %v, want %v", when, i, got, changed)
			}
		}
	}
	expect("at first", false, true, false, false)
	link("v2", "..data")
	expect("another version", false, true, false)
	write(path, "written in place, longer")
	expect("written", false)
	write(path, "written in place, and longer still")
	expect("still written", false, true, false)
	os.Remove(path)
	expect("missing", false, false)
	write(path, "a file in place of the link")
	expect("replaced", false, true, false)
}

// TestWatchTriesAgain: a watched file that is right, and that could not be put in force, is tried again after a while; one that is
// wrong is not before somebody has written to it.
func TestWatchTriesAgain(t *testing.T) {
	fes := fresh(t, 1)
	r := startReloadable(t, pool("", fes[0]))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.write("[[listener]]\nname = \"two\"\nbind = \"" + taken.Addr().String() + "\"\npool = \"fe\"\n" + pool("", fes[0]))
	failures := func() float64 { return metric(t, r.Daemon, "fairlead_config_reloads_total", "failure") }
	tries := func(when string, written bool, want float64) {
		t.Helper()
		before := failures()
		if r.reloader.look(written); failures()-before != want {
			t.Errorf("%s: %v tries, want %v", when, failures()-before, want)
		}
	}
	waited := func() { r.reloader.failed = r.reloader.failed.Add(-watchAgain) }
	tries("written", true, 1)
	tries("the same text again", true, 0)
	tries("too soon", false, 0)
	waited()
	tries("in due time", false, 1)
	taken.Close()
	waited()
	r.reloader.look(false)
	if n := len(r.Balancer().Status().Listeners); n != 2 {
		t.Errorf("%d listeners, want 2", n)
	}
	if !r.reloader.failed.IsZero() {
		t.Error("it is tried again although it is in force")
	}
	r.write("[[[")
	tries("wrong", true, 1)
	if !r.reloader.failed.IsZero() {
		t.Error("what is wrong is tried again")
	}
	if err := os.Remove(r.path); err != nil {
		t.Fatal(err)
	}
	tries("gone", true, 1)
	if r.reloader.failed.IsZero() {
		t.Error("what can't be read is not tried again")
	}
}
