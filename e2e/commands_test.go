package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// wants checks how a command ended.
func (o outcome) wants(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if o.code != code || !strings.Contains(o.stdout, stdout) || !strings.Contains(o.stderr, stderr) {
		t.Errorf("exit status %d, want %d\nstdout, wants %q:\n%s\nstderr, wants %q:\n%s", o.code, code, stdout, o.stdout, stderr, o.stderr)
	}
}

// status asks for the status by the command.
func (p *process) status() control.Status {
	p.t.Helper()
	o := p.command("status", "--json")
	var s control.Status
	if err := json.Unmarshal([]byte(o.stdout), &s); err != nil || o.code != 0 {
		p.t.Fatalf("status --json: %v, exit status %d\n%s%s", err, o.code, o.stdout, o.stderr)
	}
	return s
}

// backend finds a backend in a status.
func backend(t *testing.T, s control.Status, name string) balancer.BackendStatus {
	t.Helper()
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			if b.Name == name {
				return b
			}
		}
	}
	t.Fatalf("no backend %q in %+v", name, s)
	return balancer.BackendStatus{}
}

func TestUsage(t *testing.T) {
	for line, c := range map[string]struct {
		code           int
		stdout, stderr string
	}{
		"version":                    {0, "fairlead ", ""},
		"--version":                  {0, "fairlead ", ""},
		"--help":                     {0, "drain", ""},
		"drain --help":               {0, "BACKEND", ""},
		"help":                       {0, "COMMANDS", ""},
		"stauts":                     {2, "", `did you mean "status"?`},
		"xyzzy":                      {2, "", "see fairlead help"},
		"status --jsno":              {2, "", `did you mean "--json"?`},
		"--confg x":                  {2, "", `did you mean "--config"?`},
		"run -c":                     {2, "", "needs a value"},
		"status extra":               {2, "", `no argument such as "extra"`},
		"drain":                      {2, "", "takes one BACKEND"},
		"drain a b":                  {2, "", "takes one BACKEND"},
		"run --config /nonexistent":  {2, "", "config.toml.example"},
		"--config /nonexistent":      {2, "", "config.toml.example"},
		"check -c /nonexistent":      {2, "", "config.toml.example"},
		"demo --fes 0":               {2, "", "from 1 to 64"},
		"demo --listen x":            {2, "", "127.0.0.1:9030"},
		"demo --fes many":            {2, "", "--help"},
		"probe":                      {2, "", "HOST:PORT"},
		"probe 127.0.0.1":            {2, "", "host:port"},
		"probe 127.0.0.1:1 --type x": {2, "", "--type"},
		"status --watch --json":      {2, "", "choose one"},
	} {
		t.Run(line, func(t *testing.T) {
			fairleadIn(t, t.TempDir(), strings.Fields(line)...).wants(t, c.code, c.stdout, c.stderr)
		})
	}
}

func TestNobodyThere(t *testing.T) {
	dir := socketDir(t)
	socket := filepath.Join(dir, "none")
	for _, command := range [][]string{{"status"}, {"sessions"}, {"drain", "fe1"}, {"enable", "fe1"}, {"disable", "fe1"}} {
		fairlead(t, append(command, "--socket", socket)...).wants(t, 1, "", "is fairlead running?")
	}
	without := writeConfig(t, dir, inFront(startFE(t, fakefe.Config{}))+"[admin]\nsocket = \"\"\n")
	fairlead(t, "status", "-c", without).wants(t, 2, "", "no control socket")
}

// TestDrain: a person takes a backend out, its sessions go on, and gives it back.
func TestDrain(t *testing.T) {
	one, two := startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"})
	p := start(t, inFront(one, two))
	p.poll("both backends to be up", func() bool {
		s := p.status()
		return backend(t, s, "one").State == balancer.Up && backend(t, s, "two").State == balancer.Up
	})
	db := p.open("mysql")
	first, second := connect(t, db), connect(t, db)
	onOne := first
	if ask(t, first, "select @@hostname") != "one" {
		onOne = second
	}
	if got := ask(t, onOne, "select @@hostname"); got != "one" {
		t.Fatalf("two sessions are both on %s", got)
	}

	p.command("drain", "one").wants(t, 0, "fe/one is draining, with 1 session", "")
	for range 4 {
		if got := ask(t, connect(t, db), "select @@hostname"); got != "two" {
			t.Errorf("a new session is led to %s", got)
		}
	}
	if got := ask(t, onOne, "select @@hostname"); got != "one" {
		t.Errorf("the session on the draining backend answers %s", got)
	}
	if b := backend(t, p.status(), "one"); b.State != balancer.Draining || b.Order != "drain" || b.Sessions != 1 ||
		!strings.Contains(b.Reason, "drain ordered") {
		t.Errorf("the draining backend's status: %+v", b)
	}
	p.awaitMessage("backend draining")

	fairlead(t, "disable", "--config", p.config, two.Address()).wants(t, 0, "fe/two is disabled", "") // by address and file
	p.command("enable", "fe/one").wants(t, 0, "fe/one is up", "")
	if got := ask(t, connect(t, db), "select @@hostname"); got != "one" {
		t.Errorf("after enable a session is led to %s", got)
	}
	p.command("disable", "noe").wants(t, 2, "", `did you mean "one"?`)
	p.command("drain", "nothing-like-it").wants(t, 2, "", "there are fe/one, fe/two")
}

func TestSessionsCommand(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe))
	p.command("sessions").wants(t, 0, "no sessions", "")
	p.command("sessions", "--json").wants(t, 0, "[]", "")
	db := openDB(t, "root@tcp("+p.address("mysql")+")/sales?connectionAttributes=program_name:report")
	c := connect(t, db)
	id := ask(t, c, "select connection_id()")

	var all []balancer.LiveSession
	if err := json.Unmarshal([]byte(p.command("sessions", "--json").stdout), &all); err != nil || len(all) != 1 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	if s := all[0]; s.User != "root" || s.Database != "sales" || s.Program != "report" || s.Backend != "fe1" || s.Pool != "fe" ||
		s.Listener != "mysql" || fmt.Sprint(s.ConnectionID) != id || !s.LoggedIn || s.Age <= 0 || !s.Client.IsValid() {
		t.Errorf("the session is listed as %+v", s)
	}
	p.command("sessions").wants(t, 0, "report", "")
	p.command("status").wants(t, 0, "1 session", "")

	loud := connect(t, p.open("mysql"))
	for range 20 {
		ask(t, loud, "select @@hostname")
	}
	first := func(order string) string {
		var some []balancer.LiveSession
		o := p.command("sessions", "--json", "--sort", order, "--limit", "1")
		if err := json.Unmarshal([]byte(o.stdout), &some); err != nil || len(some) != 1 {
			t.Fatalf("--sort %s --limit 1: %d sessions, %v\n%s", order, len(some), err, o.stderr)
		}
		return some[0].Database
	}
	p.poll("the loud session to have moved most bytes", func() bool { return first("bytes") == "" })
	if got := first("age"); got != "sales" {
		t.Errorf("the eldest session uses %q", got)
	}
	p.command("sessions", "--limit", "1").wants(t, 0, "1 of 2 sessions", "")
	p.command("sessions", "--sort", "size").wants(t, 2, "", "see fairlead sessions --help")
	p.command("sessions", "--sort", "byts").wants(t, 2, "", `did you mean "bytes"?`)
	p.command("sessions", "--watch", "--json").wants(t, 2, "", "choose one")
	p.poll("the rates to be told", func() bool {
		b := backend(t, p.status(), "fe1")
		return b.Rates.NewSessions > 0 && b.Rates.ToServer > 0 && b.Rates.Greeting > 0 && b.ToClient > 0
	})
	p.command("status").wants(t, 0, " new/s", "")
}

// TestStatusPages: the command and the page tell the same.
func TestStatusPages(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe))
	var page control.Status
	if _, body := p.get("/status"); json.Unmarshal([]byte(body), &page) != nil {
		t.Fatalf("the page is no JSON: %s", body)
	}
	s := p.status()
	if s.PID != p.cmd.Process.Pid || page.PID != s.PID || s.File != p.config || !s.Ready || !page.Ready {
		t.Errorf("the command tells %+v\nthe page tells %+v", s, page)
	}
	b := backend(t, s, "fe1")
	if b.State != balancer.Up || b.Version != "8.0.33" || b.Connect <= 0 || b.Greeting <= 0 || b.Probed.IsZero() {
		t.Errorf("the backend's status: %+v", b)
	}
	p.command("status").wants(t, 0, "8.0.33", "")
	if out := p.command("status").stdout; strings.Contains(out, "\x1b") {
		t.Errorf("colours although nobody sees them: %q", out)
	}
}

// TestCheck: what is wrong is told with file and line, and by the exit status.
func TestCheck(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.toml", inFront(fe))
	fairlead(t, "check", "-c", good).wants(t, 0, good+" is right: 1 listener, 1 pool, 1 backend\n", "")
	fairlead(t, "-c", good, "check").wants(t, 0, good+" is right", "")
	fairlead(t, "check", "-c", good, "--probe").wants(t, 0, "8.0.33", "")
	fairlead(t, "check", "-c", "../config.toml.example").wants(t, 0, "is right", "")

	bad := write("bad.toml", strings.Replace(inFront(fe), "interval =", "intervall =", 1))
	for _, command := range []string{"check", "run"} {
		fairlead(t, command, "-c", bad).wants(t, 2, "", bad+":10: ")
		fairlead(t, command, "-c", bad).wants(t, 2, "", `did you mean "interval"?`)
	}
	if err := fe.Set(fakefe.ErrorFirst); err != nil {
		t.Fatal(err)
	}
	fairlead(t, "check", "--probe", "-c", good).wants(t, 1, "unfit", "")
	fairlead(t, "check", "--probe", "-c", good).wants(t, 1, "greeting:", "")
	fairlead(t, "check", "-c", good).wants(t, 0, "is right", "")
}

func TestProbe(t *testing.T) {
	fe := startFE(t, fakefe.Config{Users: map[string]string{"monitor": "secret"}})
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fairlead(t, "probe", fe.Address()).wants(t, 0, "fit", "")
	fairlead(t, "probe", fe.Address(), "--user", "monitor", "--password-file", password, "--query", "select 1", "--expect", "1",
		"--http", "http://"+fe.HTTPAddress()+"/api/health", "--leader").wants(t, 0, "leader", "")
	fairlead(t, "probe", "--user", "monitor", fe.Address()).wants(t, 1, "login:", "")
	fairlead(t, "probe", fe.Address(), "--json").wants(t, 0, `"state": "fit"`, "")
	if err := fe.Set(fakefe.Refuse); err != nil {
		t.Fatal(err)
	}
	fairlead(t, "probe", fe.Address()).wants(t, 1, "unfit", "")
}

// TestAddressesInUse: what can't be listened on is told with file and line, before anything is served.
func TestAddressesInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)

	listener := writeConfig(t, dir, strings.Replace(inFront(fe), "127.0.0.1:0", taken.Addr().String(), 1))
	fairlead(t, "run", "-c", listener).wants(t, 2, "", fmt.Sprintf("%s:3: listener \"mysql\" can't listen on %s: address already in use",
		listener, taken.Addr()))

	admin := writeConfig(t, dir, "[admin]\nlisten = \""+taken.Addr().String()+"\"\nsocket = \"s\"\n"+inFront(fe))
	fairlead(t, "-c", admin).wants(t, 2, "", fmt.Sprintf("%s:2: admin can't listen on %s: address already in use", admin, taken.Addr()))

	p := start(t, inFront(fe))
	same := writeConfig(t, dir, inFront(fe)+"[admin]\nlisten = \"\"\nsocket = \""+p.socket+"\"\n")
	fairlead(t, "-c", same).wants(t, 2, "", fmt.Sprintf("a running process has it (fairlead, process %d", p.cmd.Process.Pid))
	if code, _ := p.get("/readyz"); code != 200 {
		t.Errorf("the first fairlead answers %d after the second one tried", code)
	}
}

// TestDeadSocket: the socket of a process that was killed is no obstacle.
func TestDeadSocket(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe))
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	p.command("status").wants(t, 1, "", "not running any more")
	again := spawn(t, p.config)
	again.awaitMessage("serving")
	again.socket = p.socket
	if s := again.status(); s.PID != again.cmd.Process.Pid {
		t.Errorf("process %d answers", s.PID)
	}
	info, err := os.Stat(p.socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
}
