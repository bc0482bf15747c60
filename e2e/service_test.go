package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// serviceManager is a service manager's socket; processes that are started from now on are told of it.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(socketDir(t), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	return c
}

// awaitState reads what the service manager is told until it holds a state.
func awaitState(t *testing.T, c *net.UnixConn, state string) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("waited for %s: %v", state, err)
		}
		if text := string(b[:n]); strings.Contains(text, state) {
			return text
		}
	}
}

// TestService: what a service manager and keepalived are told from the start to the end.
func TestService(t *testing.T) {
	manager := serviceManager(t)
	readiness := filepath.Join(t.TempDir(), "readiness")
	says := func() string {
		text, _ := os.ReadFile(readiness)
		return string(text)
	}
	if err := os.WriteFile(readiness, []byte("0\n"), 0o644); err != nil { // as a former life may have left it
		t.Fatal(err)
	}
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	p := spawn(t, writeConfig(t, dir, inFront(fe)+"[admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"control.sock\"\nreadiness_file = \""+readiness+
		"\"\n[shutdown]\ngrace = \"1h\"\n"))
	awaitState(t, manager, "READY=1")
	p.poll("the readiness file to say yes", func() bool { return says() == "0\n" })
	if text := awaitState(t, manager, "WATCHDOG=1"); !strings.Contains(text, "STATUS=") {
		t.Errorf("a sign of life is %q", text)
	}
	suffer(t, fe, fakefe.ErrorFirst)
	p.poll("the readiness file to say no", func() bool { return says() == "-254\n" })
	if err := fe.Restore(); err != nil {
		t.Fatal(err)
	}
	p.poll("the readiness file to say yes again", func() bool { return says() == "0\n" })
	p.signal(syscall.SIGTERM)
	awaitState(t, manager, "STOPPING=1")
	if got := says(); got != "-254\n" { // it comes first
		t.Errorf("when the end is announced, the readiness file says %q", got)
	}
	awaitState(t, manager, "WATCHDOG=1") // in the hour of grace too
	p.signal(syscall.SIGTERM)
	p.exits(0)
	if got := says(); got != "-254\n" {
		t.Errorf("at the end the readiness file says %q", got)
	}
}

// TestReadinessFileFaults: a file that can't be written is an error of configuration, with its line, and nothing starts.
func TestReadinessFileFaults(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	path := writeConfig(t, dir, "[admin]\nlisten = \"\"\nsocket = \"\"\nreadiness_file = \"nowhere/readiness\"\n"+inFront(fe))
	for _, command := range []string{"run", "check"} {
		o := fairlead(t, command, "-c", path)
		o.wants(t, 2, "", "")
		if text := o.stdout + o.stderr; !strings.Contains(text, "config.toml:4: readiness_file: ") {
			t.Errorf("%s says:\n%s", command, text)
		}
	}
}

// TestStartFails: a fairlead that can't start leaves the file of the one that runs alone.
func TestStartFails(t *testing.T) {
	readiness := filepath.Join(t.TempDir(), "readiness")
	if err := os.WriteFile(readiness, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	fe := startFE(t, fakefe.Config{})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := socketDir(t)
	path := writeConfig(t, dir, "[admin]\nlisten = \""+taken.Addr().String()+"\"\nsocket = \"\"\nreadiness_file = \""+readiness+"\"\n"+inFront(fe))
	fairlead(t, "run", "-c", path).wants(t, 2, "", "another program has it")
	if text, _ := os.ReadFile(readiness); string(text) != "0\n" {
		t.Errorf("the file says %q", text)
	}
}
