package e2e

import (
	"net"
	"net/http"
	"syscall"
	"testing"

	"fairlead/internal/fakefe"
)

// unready waits until /readyz says no.
func (p *process) unready() {
	p.t.Helper()
	p.poll("/readyz to say no", func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusServiceUnavailable
	})
}

// TestGrace: after SIGTERM the balancer is not ready and still accepts; a second signal ends it at once.
func TestGrace(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe)+"[shutdown]\ngrace = \"1h\"\ndrain = \"1h\"\n")
	db := p.open("mysql")
	held := connect(t, db)
	p.signal(syscall.SIGTERM)
	p.unready()
	if code, _ := p.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz answers %d while shutting down", code)
	}
	if got := ask(t, connect(t, db), "select @@hostname"); got != "fe1" {
		t.Errorf("a client that comes during grace is answered by %q", got)
	}
	if got := ask(t, held, "select 1"); got != "1" {
		t.Errorf("a session from before answers %q", got)
	}
	if s := p.status(); s.Ready || s.Sessions != 2 {
		t.Errorf("the status during grace: ready %v, %d sessions", s.Ready, s.Sessions)
	}
	p.signal(syscall.SIGINT)
	p.exits(0)
	if _, err := tryAsk(t, held, "select 1"); err == nil {
		t.Error("a session outlives its balancer")
	}
	p.await("the cut session's line", func(r record) bool { return r["msg"] == "session" && r["end"] == "drained" })
}

// TestDrainAtShutdown: after grace nobody new comes in, sessions finish, and the last one's end ends the process.
func TestDrainAtShutdown(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe)+"[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n")
	db := p.open("mysql")
	held := connect(t, db)
	address := p.address("mysql")
	p.signal(syscall.SIGTERM)
	p.awaitMessage("not listening any more: sessions may finish")
	if c, err := net.DialTimeout("tcp", address, patience); err == nil {
		c.Close()
		t.Error("a client gets in while the sessions are drained")
	}
	if code, _ := p.get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", code)
	}
	if got := ask(t, held, "select @@hostname"); got != "fe1" {
		t.Errorf("the session answers %q", got)
	}
	if s := p.status(); s.Sessions != 1 || len(s.Listeners[0].Addresses) != 0 {
		t.Errorf("the status during drain: %+v", s)
	}
	if !p.running() {
		t.Fatal("fairlead ended with a session under way")
	}
	held.Close()
	db.Close()
	p.exits(0)
}

// TestCutAtShutdown: sessions that don't finish in time are cut.
func TestCutAtShutdown(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe)+"[shutdown]\ngrace = \"0s\"\ndrain = \"50ms\"\n")
	held := connect(t, p.open("mysql"))
	p.signal(syscall.SIGINT) // the first one is as orderly as SIGTERM
	p.exits(0)
	p.awaitMessage("cutting the sessions that are left")
	if _, err := tryAsk(t, held, "select 1"); err == nil {
		t.Error("a session outlives its balancer")
	}
}

// TestHangup: SIGHUP is no end, but a reload.
func TestHangup(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe)+"[shutdown]\ngrace = \"0s\"\ndrain = \"0s\"\n")
	p.signal(syscall.SIGHUP)
	p.awaitMessage("configuration reloaded")
	if got := ask(t, p.open("mysql"), "select @@hostname"); got != "fe1" {
		t.Errorf("after SIGHUP %q answers", got)
	}
	p.signal(syscall.SIGTERM)
	p.exits(0)
}
