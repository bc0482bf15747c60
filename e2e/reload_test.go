package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// reloadable is a running fairlead whose file changes.
type reloadable struct {
	*process
	port int // of its listener, which stays the same
}

// startReloadable starts fairlead with a listener on a port of its own; text says what it serves.
func startReloadable(t *testing.T, text string) *reloadable {
	t.Helper()
	r := &reloadable{port: freePort(t)}
	dir := socketDir(t)
	r.process = spawn(t, writeConfig(t, dir, r.whole(text)))
	serving := r.awaitMessage("serving")
	r.socket, r.admin = fmt.Sprint(serving["socket"]), fmt.Sprint(serving["admin"].([]any)[0])
	r.awaitReady()
	return r
}

func (r *reloadable) whole(text string) string {
	return fmt.Sprintf("[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:%d\"\npool = \"fe\"\n", r.port) + text
}

func (r *reloadable) listening() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// write replaces the file, as editors do.
func (r *reloadable) write(text string) {
	r.t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(r.config), "")
	if err != nil {
		r.t.Fatal(err)
	}
	defer os.Remove(dir)
	socket := fmt.Sprintf("\n[admin]\nlisten = \"127.0.0.1:0\"\nsocket = %q\n", r.socket)
	if err := os.Rename(writeConfig(r.t, dir, r.whole(text)+socket), r.config); err != nil {
		r.t.Fatal(err)
	}
}

// reload writes the file and has it put in force.
func (r *reloadable) reload(text string) {
	r.t.Helper()
	r.write(text)
	if out := r.command("reload"); out.code != 0 {
		r.t.Fatalf("reload: %+v", out)
	}
}

// poolOf is a pool called fe.
func poolOf(more string, backends ...string) string {
	text := "[[pool]]\nname = \"fe\"\n" + more
	for _, b := range backends {
		text += fmt.Sprintf("[[pool.backend]]\naddress = %q\n", b)
	}
	return text
}

func startServers(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for i := range n {
		fe, err := fakefe.Start(fakefe.Config{Name: fmt.Sprint("fe", i+1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fe.Stop)
		addresses = append(addresses, fe.Address())
	}
	return addresses
}

// members are the names of a pool's backends now.
func (r *reloadable) members() string {
	r.t.Helper()
	var status struct {
		Pools []struct{ Backends []struct{ Name string } }
	}
	out := r.command("status", "--json")
	if err := json.Unmarshal([]byte(out.stdout), &status); err != nil || len(status.Pools) == 0 {
		r.t.Fatalf("%v: %+v", err, out)
	}
	var names []string
	for _, b := range status.Pools[0].Backends {
		names = append(names, b.Name)
	}
	return strings.Join(names, " ")
}

// TestReloadCommands: diff tells, reload does, and a file with an error changes nothing.
func TestReloadCommands(t *testing.T) {
	fes := startServers(t, 2)
	r := startReloadable(t, poolOf("", fes[0]))
	if out := r.command("diff"); out.code != 0 || !strings.Contains(out.stdout, "nothing differs") {
		t.Errorf("diff of the same: %+v", out)
	}
	r.write(poolOf("", fes...) + "[engine]\nloops = 3\n")
	added := `pool "fe", backend "` + fes[1] + `": added`
	out := r.command("diff", "--exit-code")
	if out.code != 3 || !strings.Contains(out.stdout, "a reload would make 2 changes") || !strings.Contains(out.stdout, added) ||
		!strings.Contains(out.stdout, "[engine]: loops: 0 → 3 (needs a restart)") {
		t.Errorf("diff: %+v", out)
	}
	if got := r.members(); got != fes[0] {
		t.Errorf("after the diff: %s", got)
	}
	if out := r.command("reload"); out.code != 0 || !strings.Contains(out.stdout, added) || out.stderr != "" {
		t.Errorf("reload: %+v", out)
	}
	if got := r.members(); got != fes[0]+" "+fes[1] {
		t.Errorf("after the reload: %s", got)
	}
	r.write(poolOf("polcy = \"x\"\n", fes[0]))
	for _, command := range []string{"reload", "diff"} {
		if out := r.command(command); out.code != 2 || !strings.HasPrefix(out.stderr, r.config+":7: unknown key \"polcy\"") || out.stdout != "" {
			t.Errorf("%s of a faulty file: %+v", command, out)
		}
	}
	if got := r.members(); got != fes[0]+" "+fes[1] {
		t.Errorf("after a faulty file: %s", got)
	}
	if _, page := r.get("/metrics"); !strings.Contains(page, `fairlead_config_reloads_total{result="failure"} 1`) ||
		!strings.Contains(page, `fairlead_config_reloads_total{result="success"} 1`) || !strings.Contains(page, "fairlead_config_last_reload_successful 0") {
		t.Errorf("metrics:\n%s", page)
	}
	var done struct {
		Changes []struct{ Where, Kind string }
	}
	r.write(poolOf("", fes[1]))
	out = r.command("reload", "--json")
	if err := json.Unmarshal([]byte(out.stdout), &done); err != nil || len(done.Changes) == 0 || done.Changes[len(done.Changes)-1].Kind != "removed" {
		t.Errorf("%v: %+v", err, out)
	}
	r.signal(syscall.SIGTERM)
	r.signal(syscall.SIGTERM)
	r.exits(0)
	if out := r.command("reload"); out.code != 1 || !strings.Contains(out.stderr, "is fairlead running?") {
		t.Errorf("reload of what has ended: %+v", out)
	}
}

// TestReloadBySignal reloads by SIGHUP.
func TestReloadBySignal(t *testing.T) {
	fes := startServers(t, 2)
	r := startReloadable(t, poolOf("", fes[0]))
	r.write(poolOf("", fes[1]))
	r.signal(syscall.SIGHUP)
	r.await("the reload", func(line record) bool { return line["msg"] == "configuration reloaded" && line["by"] == "SIGHUP" })
	if got := r.members(); got != fes[1] {
		t.Errorf("after the signal: %s", got)
	}
	r.write("[[[")
	r.signal(syscall.SIGHUP)
	r.awaitMessage("the configuration was not reloaded: what was in force stays")
	if !r.running() || r.members() != fes[1] {
		t.Error("a faulty file has changed something")
	}
}

// TestReloadByItself: a file that is replaced, written in place, or behind a link that changes is reloaded without a word.
func TestReloadByItself(t *testing.T) {
	fes := startServers(t, 3)
	const watching = "[reload]\nwatch = true\n"
	r := startReloadable(t, watching+poolOf("", fes[0]))
	becomes := func(want string) {
		t.Helper()
		r.poll("the pool to be "+want, func() bool { return r.members() == want })
	}
	r.write(watching + poolOf("", fes[1]))
	becomes(fes[1])
	// As Kubernetes mounts a ConfigMap.
	dir := filepath.Dir(r.config)
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		r.write(text)
		if err := os.Rename(r.config, filepath.Join(dir, name, "config.toml")); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "link"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version("v1", watching+poolOf("", fes[2]))
	link("v1", "..data")
	link("..data/config.toml", "config.toml")
	becomes(fes[2])
	version("v2", watching+poolOf("", fes[0]))
	link("..data/config.toml", "config.toml")
	link("v2", "..data")
	becomes(fes[0])
	// A faulty one is told of once, and the next good one is taken.
	version("v3", "[[[")
	link("..data/config.toml", "config.toml")
	link("v3", "..data")
	r.awaitMessage("the configuration was not reloaded: what was in force stays")
	version("v4", poolOf("", fes[1]))
	link("..data/config.toml", "config.toml")
	link("v4", "..data")
	becomes(fes[1]) // and watches no more
}

// reloadsEnv has TestReloadUnderLoad go on for so many reloads. make reloads sets it.
const reloadsEnv = "FAIRLEAD_E2E_RELOADS"

// TestReloadUnderLoad: ten reloads of every kind while clients come and sessions stay: no login fails, no session ends, and
// a listener that is removed keeps its sessions. What many of them leave behind is not more than what few do.
func TestReloadUnderLoad(t *testing.T) {
	fes := startServers(t, 4)
	r := startReloadable(t, poolOf("", fes[:2]...))
	f := come(t, load{Address: r.listening(), User: "root", Question: "select @@hostname", Every: 10 * time.Millisecond,
		Held: 8, Idle: 8, Pause: 20 * time.Millisecond})
	f.more(20, time.Now())
	second := fmt.Sprintf("[[listener]]\nname = \"second\"\nbind = \"127.0.0.1:%d\"\npool = \"fe\"\n", freePort(t))
	r.reload(second + poolOf("", fes[:2]...))
	db := openDB(t, "root@tcp("+r.address("second")+")/")
	staying := connect(t, db)
	ask(t, staying, "select 1")
	texts := []string{
		poolOf("", fes[:2]...), // the second listener goes
		poolOf("policy = \"round-robin\"\nidle_timeout = \"1h\"\n", fes[2:]...),
		"max_sessions = 1000\nrate = 10000\nmax_sessions_per_source = 1000\n" + poolOf("max_sessions = 500\n", fes...),
		strings.ReplaceAll(poolOf("", fes[0]), `"fe"`, `"other"`) + poolOf("[pool.probe]\ninterval = \"100ms\"\n", fes[1:]...) +
			second[:len(second)-5] + "\"other\"\n",
		"max_sessions_per_user = 900\n[[listener.route]]\nuser = \"etl\"\npool = \"etl\"\n" + poolOf("", fes[0]) + "[[pool]]\nname = \"etl\"\n[[pool.backend]]\naddress = \"" + fes[1] + "\"\n",
		poolOf("", fes[3]),
		poolOf("[pool.probe]\ntype = \"tcp\"\n", strings.Replace(fes[3], "127.0.0.1", "localhost", 1)),
		"[log]\nlevel = \"debug\"\nformat = \"json\"\n" + poolOf("sessions_on_down = \"close\"\n", fes...),
		poolOf("", fes...),
	}
	reloads, logins := len(texts), 20
	if most, err := strconv.Atoi(os.Getenv(reloadsEnv)); err == nil {
		reloads, logins = (most+len(texts)-1)/len(texts)*len(texts), 2
	}
	var early, late float64
	for i := range reloads {
		since := time.Now()
		r.reload(texts[i%len(texts)])
		f.more(logins, since)
		switch i + 1 {
		case 10 * len(texts):
			early = r.figure("process_resident_memory_bytes")
		case reloads:
			late = r.figure("process_resident_memory_bytes")
		}
		if got := ask(t, staying, "select 1"); got != "1" {
			t.Errorf("reload %d: the session of the removed listener hears %q", i, got)
		}
	}
	staying.Close()
	db.Close()
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("%d logins of %d have failed:%s", len(failed), len(f.visits(func(visit) bool { return true })), listed(failed))
	}
	if lost := f.lost(); len(lost) > 0 {
		t.Errorf("%d sessions were lost:%s", len(lost), listed(lost))
	}
	t.Logf("%d reloads, %d logins; %.1f MB after the first of them, %.1f MB after the last", reloads,
		len(f.visits(func(visit) bool { return true })), early/1e6, late/1e6)
	if early > 0 && late > 1.5*early {
		t.Errorf("memory has grown from %.1f to %.1f MB", early/1e6, late/1e6)
	}
	r.poll("all sessions to be gone", func() bool {
		out := r.command("status", "--json")
		return strings.Contains(out.stdout, "\n  \"sessions\": 0,") && !strings.Contains(out.stdout, `"removed": true`)
	})
	if _, page := r.get("/metrics"); strings.Contains(page, `listener="second"`) || strings.Contains(page, `pool="etl"`) || strings.Contains(page, `pool="other"`) {
		t.Errorf("series are left of what was removed:\n%s", page)
	}
}

// TestReloadOfAnything: files made at random, right ones as check tells, all go into force, and nothing is left of them.
func TestReloadOfAnything(t *testing.T) {
	fes := startServers(t, 3)
	r := startReloadable(t, poolOf("", fes[0]))
	db := openDB(t, "root@tcp("+r.listening()+")/")
	db.SetMaxIdleConns(0)
	ask(t, db, "select 1")
	goroutines, descriptors := r.figure("go_goroutines"), r.figure("process_open_fds")
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(uint64(seed), 0))
	reloads := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && reloads < 1000; reloads++ {
		text := randomFile(dice, fes)
		r.write(text)
		out := r.command("reload")
		if out.code != 0 {
			t.Fatalf("reload %d of\n%s\n%+v", reloads, text, out)
		}
		if reloads%10 == 0 {
			ask(t, db, "select 1")
		}
	}
	t.Logf("%d reloads", reloads)
	r.reload(poolOf("", fes[0]))
	ask(t, db, "select 1")
	r.poll("goroutines and descriptors to be as before", func() bool {
		return r.figure("go_goroutines") <= goroutines && r.figure("process_open_fds") <= descriptors
	})
}

// figure is a metric without labels.
func (p *process) figure(name string) (value float64) {
	p.t.Helper()
	_, page := p.get("/metrics")
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				p.t.Fatal(err)
			}
		}
	}
	return value
}

// randomFile makes what follows the listener in a file that is right.
func randomFile(dice *rand.Rand, fes []string) string {
	one := func(words ...string) string { return words[dice.IntN(len(words))] }
	text := one("", "max_sessions = 100\n", "rate = 100000\n", "max_sessions_per_source = 50\n", "login_timeout = \"0s\"\n") +
		one("", "roles = [\"leader\"]\nroles_fallback = true\n") + one("", "backlog = 5\n", "keepalive = \"0s\"\n")
	pools := []string{"fe"}
	for i := range dice.IntN(3) {
		name := one("etl", "adhoc", "x") + fmt.Sprint(i)
		pools = append(pools, name)
		text += "[[listener.route]]\nuser = \"" + name + one("", "*") + "\"\npool = \"" + name + "\"\n"
	}
	for i := range dice.IntN(3) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			continue
		}
		address := l.Addr().String()
		l.Close()
		text += fmt.Sprintf("[[listener]]\nname = \"more%d\"\nbind = %q\npool = %q\n", i, address, one(pools...))
	}
	for _, p := range pools {
		text += fmt.Sprintf("[[pool]]\nname = %q\npolicy = %q\nslow_start = %q\n", p, one("least-connections", "round-robin", "source-hash"), one("0s", "1m"))
		text += one("", "max_sessions = 1000\n") + one("", "[pool.probe]\ninterval = \"50ms\"\n", "[pool.probe]\ntype = \"tcp\"\n")
		for i, n := range dice.Perm(len(fes))[:1+dice.IntN(len(fes))] {
			address := fes[n]
			if dice.IntN(4) == 0 {
				address = strings.Replace(address, "127.0.0.1", "localhost", 1)
			}
			text += fmt.Sprintf("[[pool.backend]]\naddress = %q\nweight = %d\nbackup = %v\n", address, 1+dice.IntN(9), i > 0 && dice.IntN(3) == 0)
			text += one("", fmt.Sprintf("name = \"name%d\"\n", n))
			if i == 0 || dice.IntN(2) == 0 { // the listener may want one; neither is the first one a backup
				text += "role = \"leader\"\n"
			}
		}
	}
	return text
}
