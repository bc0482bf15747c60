package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// upgrades is how many follow each other; FAIRLEAD_E2E_UPGRADES says otherwise.
func upgrades(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FAIRLEAD_E2E_UPGRADES")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FAIRLEAD_E2E_UPGRADES is %q, want a number", text)
	}
	return n
}

// TestUpgrade: upgrades in a row under a load of logins and queries. No login fails, no session is lost, not a byte is
// lost or altered in one that lasts through all of them, the readiness file never says no, and nothing is left behind.
func TestUpgrade(t *testing.T) {
	onLinux(t)
	_, addresses := startFEs(t, 3)
	echo := startEcho(t)
	readiness := filepath.Join(t.TempDir(), "readiness")
	dir := socketDir(t)
	text := inFrontOf(quickPool, "interval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n", addresses...)
	text = strings.Replace(text, "[shutdown]\n", "[shutdown]\ndrain = \"1h\"\n", 1) +
		"[[listener]]\nname = \"echo\"\nbind = \"127.0.0.1:0\"\npool = \"echo\"\n[[pool]]\nname = \"echo\"\nprotocol = \"tcp\"\n[[pool.backend]]\naddress = \"" + echo + "\"\n" +
		fmt.Sprintf("[admin]\nlisten = \"127.0.0.1:0\"\nsocket = %q\nreadiness_file = %q\n", filepath.Join(dir, "s"), readiness)
	p := launchFile(t, writeConfig(t, dir, text))
	p.awaitReady()
	eventually(t, "the readiness file to say yes", func() bool { b, _ := os.ReadFile(readiness); return string(b) == "0\n" })
	says := watchFile(t, readiness)
	first := p.cmd.Process.Pid
	before := descriptors(first)

	p.allUp()
	f := come(t, loadOn(p, whichFE))
	f.running("1", "2", "3")
	long := holdConversation(t, p.address("echo"))
	held := len(f.holdings(func(h holding) bool { return !h.Over }))

	pids := []int{first}
	for range upgrades(t) {
		pids = append(pids, p.upgrade())
		f.more(50, time.Now())
		long.more(t)
		s := p.status()
		former := 0
		for _, one := range s.Former {
			former += one.Sessions
		}
		if s.PID != pids[len(pids)-1] || former < held+1 {
			t.Errorf("process %d answers, and %d sessions go on in %+v: want %d, and %d at least", s.PID, former, s.Former, pids[len(pids)-1], held+1)
		}
	}
	eventually(t, "all sessions that stay to be in the first process", func() bool {
		s := p.status()
		return len(s.Former) == 1 && s.Former[0].PID == first && s.Former[0].Sessions == held+1
	})
	last := pids[len(pids)-1]
	for _, pid := range pids[1 : len(pids)-1] {
		hasEnded(t, pid)
	}
	f.stop()
	long.end(t)
	if failed := f.visits(func(v visit) bool { return v.Failed != "" || v.Unasked != "" }); len(failed) > 0 {
		t.Errorf("logins or their queries failed: %s", listed(failed))
	}
	if lost := f.lost(); len(lost) > 0 {
		t.Errorf("sessions were lost: %s", listed(lost))
	}
	hasEnded(t, first)
	eventually(t, "nothing to be left of the old ones", func() bool {
		s := p.status()
		return len(s.Former) == 0 && s.Sessions == 0 && backend(t, s, "1").Former == 0
	})
	eventually(t, "descriptors to be given back", func() bool { return descriptors(last) <= before })
	if other := says(); other != "" {
		t.Errorf("the readiness file said %q", other)
	}
	if m := p.metrics(); m[`fairlead_upgrades_total{result="success"}`] != "1" || m[`fairlead_backend_former_sessions{backend="1",pool="fe"}`] != "0" {
		t.Errorf("metrics: %q upgrades, %q former sessions", m[`fairlead_upgrades_total{result="success"}`], m[`fairlead_backend_former_sessions{backend="1",pool="fe"}`])
	}
	if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hasEnded(t, last)
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the control socket is left behind (%v)", err)
	}
	if b, _ := os.ReadFile(readiness); string(b) != "-254\n" {
		t.Errorf("at the end the readiness file says %q", b)
	}
	t.Logf("%d logins", len(f.visits(func(visit) bool { return true })))
}

// TestUpgradeKnowsWhatWas: sessions of the process before count for least connections, and what persons have ordered and probes
// have found stays, although the new process has seen nothing of it.
func TestUpgradeKnowsWhatWas(t *testing.T) {
	onLinux(t)
	one, two, three, four := startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"}), startFE(t, fakefe.Config{Name: "three"}), startFE(t, fakefe.Config{Name: "four"})
	p := start(t, strings.Replace(inFront(one, two, three, four), "interval = \"100ms\"", "interval = \"1h\"", 1)+"[shutdown]\ndrain = \"1h\"\ngrace = \"0s\"\n")
	for _, name := range []string{"one", "two", "three"} {
		p.becomes(name, balancer.Up)
	}
	suffer(t, four, fakefe.Refuse)
	p.command("disable", "two").wants(t, 0, "two is disabled", "")
	p.command("drain", "three").wants(t, 0, "three is draining", "")
	db := p.open("mysql")
	var held []io.Closer
	for range 6 {
		c := connect(t, db)
		if server := ask(t, c, "select @@hostname"); server != "one" {
			t.Fatalf("led to %q", server)
		}
		held = append(held, c)
	}
	p.becomes("four", balancer.Down)
	p.command("enable", "three").wants(t, 0, "three is up", "")
	since := backend(t, p.status(), "one").Since
	p.upgrade()
	s := p.status()
	for name, want := range map[string]balancer.State{"one": balancer.Up, "two": balancer.Disabled, "three": balancer.Up, "four": balancer.Down} {
		if b := backend(t, s, name); b.State != want {
			t.Errorf("%s is %v (%s), want %v", name, b.State, b.Reason, want)
		}
	}
	if b := backend(t, s, "one"); !b.Since.Equal(since) || b.Former != 6 || b.Sessions != 0 {
		t.Errorf("one: up since %v, %d sessions and %d former ones; want %v, 0 and 6", b.Since, b.Sessions, b.Former, since)
	}
	later := p.open("mysql")
	for range 5 {
		if server := ask(t, connect(t, later), "select @@hostname"); server != "three" {
			t.Errorf("a client was led to %q, although that has more sessions", server)
		}
	}
	if text := p.command("status").stdout; !strings.Contains(text, "from before the upgrade has 6 sessions left") || !strings.Contains(text, "0 + 6") {
		t.Errorf("the status does not tell of the sessions from before:\n%s", text)
	}
	for _, c := range held {
		c.Close()
	}
	db.Close()
	p.poll("sessions from before to be over", func() bool { s := p.status(); return len(s.Former) == 0 && backend(t, s, "one").Former == 0 })
}

// TestUpgradeAndReload: an upgrade hands over what a reload has opened, and the process before takes no part in later reloads.
func TestUpgradeAndReload(t *testing.T) {
	onLinux(t)
	fe := startFE(t, fakefe.Config{})
	text := "[reload]\nwatch = true\n" + inFront(fe) + "[shutdown]\ndrain = \"1h\"\ngrace = \"0s\"\n"
	p := start(t, text)
	more := func(name string) {
		t.Helper()
		text += fmt.Sprintf("[[listener]]\nname = %q\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n", name)
		writeConfig(t, filepath.Dir(p.config), text)
		p.address(name) // it listens there
	}
	more("second")
	held := connect(t, p.open("second"))
	p.upgrade()
	later := p.open("second") // at the same port
	if got := ask(t, later, "select @@hostname"); got != "fe1" {
		t.Errorf("a new session is answered by %q", got)
	}
	more("third")
	if got := ask(t, p.open("third"), "select @@hostname"); got != "fe1" {
		t.Errorf("a session of the third listener is answered by %q", got)
	}
	p.command("reload").wants(t, 0, "", "")
	if got := ask(t, held, "select @@hostname"); got != "fe1" {
		t.Errorf("the old session is answered by %q", got)
	}
	all, _ := p.records()
	reloads := 0
	for _, r := range all {
		switch r["msg"] {
		case "configuration reloaded":
			reloads++
		case "the configuration was not reloaded: what was in force stays":
			t.Errorf("a reload failed: %v", r)
		}
	}
	if reloads != 3 {
		t.Errorf("%d reloads, want 3", reloads)
	}
}
