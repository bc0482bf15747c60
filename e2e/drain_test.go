package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)


// TestDrainWaits: a command that waits for a drain tells how many sessions are left, and how it has come to its end.
func TestDrainWaits(t *testing.T) {
	p := start(t, inFront(startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"})))
	p.becomes("one", balancer.Up)
	p.becomes("two", balancer.Up)
	db := p.open("mysql")
	db.SetMaxIdleConns(0)
	first, second := connect(t, db), connect(t, db)
	if ask(t, first, "select @@hostname") != "one" {
		first, second = second, first
	}

	over := make(chan outcome, 1)
	go func() { over <- fairlead(t, "drain", "one", "--wait", "--deadline", "1h", "--socket", p.socket) }()
	p.becomes("one", balancer.Draining)
	if b := backend(t, p.status(), "one"); b.Deadline.IsZero() || b.OrderedBy == "" || b.OrderedAt.IsZero() {
		t.Errorf("the status lacks who drains it, since and until when: %+v", b)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	(<-over).wants(t, 0, "fe/one: 0 sessions left", "")

	if got := ask(t, second, "select @@hostname"); got != "two" {
		t.Fatalf("the other session is on %s", got)
	}
	go func() { over <- fairlead(t, "drain", "two", "--wait", "--socket", p.socket) }()
	p.becomes("two", balancer.Draining)
	p.command("enable", "two").wants(t, 0, "fe/two is up", "")
	(<-over).wants(t, 1, "1 session left", "fe/two takes sessions again: enable ordered by")

	p.command("drain", "two", "--wait", "--deadline", "500ms").wants(t, 3, "fe/two: 0 sessions left", "the deadline has cut 1 session of fe/two")
	if r := p.await("the session that was cut", func(r record) bool { return r["msg"] == "session" && r["backend"] == "two" }); r["end"] != "drained" {
		t.Errorf("the session's line: %v", r)
	}
	p.command("enable", "two", "--deadline", "5m").wants(t, 2, "", "--deadline")
	p.command("drain", "two", "--deadline", "-5m").wants(t, 2, "", "negative")
}

// TestOrdersSurviveARestart: with a state file orders stand after an orderly end and after SIGKILL, and a damaged file keeps nobody from serving.
func TestOrdersSurviveARestart(t *testing.T) {
	one, two := startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"})
	dir := socketDir(t)
	state := filepath.Join(dir, "state")
	text := fmt.Sprintf("%s[admin]\nlisten = \"127.0.0.1:0\"\nsocket = %q\nstate_file = %q\n[shutdown]\ngrace = \"0s\"\n",
		inFront(one, two), filepath.Join(dir, "control.sock"), state)
	p := start(t, text)
	p.command("disable", "one").wants(t, 0, "fe/one is disabled", "")
	p.signal(syscall.SIGTERM)
	p.exits(0)

	p = start(t, text)
	p.awaitMessage("orders of the state file stand again")
	p.becomes("two", balancer.Up)
	if b := backend(t, p.status(), "one"); b.State != balancer.Disabled || !strings.Contains(b.Reason, "disable ordered") {
		t.Errorf("after a restart: %+v", b)
	}
	p.command("enable", "one").wants(t, 0, "fe/one is ", "")
	p.command("drain", "two").wants(t, 0, "fe/two is draining", "")
	p.signal(syscall.SIGKILL)
	<-p.ended

	p = start(t, text)
	p.becomes("one", balancer.Up)
	p.becomes("two", balancer.Draining)
	p.signal(syscall.SIGKILL)
	<-p.ended

	if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, text)
	p.awaitMessage("the state file can't be used: orders that stood before the restart are forgotten")
	p.becomes("two", balancer.Up)
}
