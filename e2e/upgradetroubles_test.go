package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/fakefe"
)

// TestStandardErrorIsGone: whoever reads standard error ends. That costs the log, and no client.
func TestStandardErrorIsGone(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, config: writeConfig(t, socketDir(t), inFront(fe)+"[shutdown]\ngrace = \"0s\"\n"), ended: make(chan struct{})}
	p.mu.changed = make(chan struct{})
	p.cmd = exec.Command(binary, "run", "-c", p.config)
	p.cmd.Stderr = theirs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	t.Cleanup(p.cleanUp)
	lines := bufio.NewScanner(ours)
	for lines.Scan() {
		_, _ = p.Write(append(lines.Bytes(), '\n'))
		if strings.Contains(lines.Text(), `"serving"`) {
			break
		}
	}
	p.serving()
	p.awaitReady()
	ours.Close()

	for range 3 { // each leaves a line that nobody can be given
		db := p.open("mysql")
		if got := ask(t, db, "select @@hostname"); got != "fe1" {
			t.Errorf("answered by %q", got)
		}
		db.Close()
		p.command("reload").wants(t, 0, "nothing differs", "")
	}
	successor := p.upgrade() // which can't write there either
	p.exits(0)
	p.endSuccessor(successor)
}

// TestSuccessorCrashes: the process that has taken over is killed. The one before says that nobody serves, and keeps its sessions.
func TestSuccessorCrashes(t *testing.T) {
	onLinux(t)
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	readiness := filepath.Join(dir, "readiness")
	p := launchFile(t, writeConfig(t, dir, inFront(fe)+"[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n[admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"s\"\nreadiness_file = \"readiness\"\n"))
	p.awaitReady()
	tells := func(want string) {
		t.Helper()
		eventually(t, "the readiness file to say "+want, func() bool { text, _ := os.ReadFile(readiness); return string(text) == want+"\n" })
	}
	tells("0")
	db := p.open("mysql")
	held := connect(t, db)
	successor := p.upgrade()
	if err := syscall.Kill(successor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if r := p.awaitMessage("the process that has taken over has ended: no clients are served until fairlead is started again"); r["pid"] != float64(successor) || r["sessions"] != 1.0 {
		t.Errorf("it says %v", r)
	}
	tells("-254")
	if got := ask(t, held, "select @@hostname"); got != "fe1" {
		t.Errorf("the session is answered by %q", got)
	}
	// Another one can be started beside it.
	other := spawn(t, p.config)
	other.serving()
	other.awaitReady()
	tells("0")
	if got := ask(t, other.open("mysql"), "select @@hostname"); got != "fe1" {
		t.Errorf("a new session is answered by %q", got)
	}
	held.Close()
	db.Close()
	p.exits(0)
}

// TestContainerOfCrashedSuccessor: below process 1 of a container the process that serves is killed. The container ends, so that
// it is started anew, although process 1 has sessions that might last for an hour.
func TestContainerOfCrashedSuccessor(t *testing.T) {
	c := startContainer(t, inFront(startFE(t, fakefe.Config{}))+"[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n")
	connect(t, c.open("mysql"))
	if err := syscall.Kill(c.outside(c.replaced()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.awaitMessage("the process that serves has crashed: this one ends as well, and cuts its sessions")
	c.exits(128 + int(syscall.SIGKILL))
}

// TestContainerOfManyIsStopped: a container is told to end in which three processes have sessions. It ends with status 0, although
// process 1 never sees how the one ended that served: the parent of that one has taken its status.
func TestContainerOfManyIsStopped(t *testing.T) {
	c := startContainer(t, inFront(startFE(t, fakefe.Config{}))+"[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n")
	first := c.open("mysql")
	one := connect(t, first)
	c.replaced()
	second := c.open("mysql")
	two := connect(t, second)
	third := c.outside(c.replaced())
	if err := syscall.Kill(c.first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hasEnded(t, third)
	for _, session := range []io.Closer{one, first, two, second} {
		session.Close()
	}
	c.exits(0)
}

// TestControlSocketIsGone: somebody has removed the file of the control socket. An upgrade makes another one.
func TestControlSocketIsGone(t *testing.T) {
	onLinux(t)
	p := start(t, inFront(startFE(t, fakefe.Config{}))+"[shutdown]\ngrace = \"0s\"\n")
	if err := os.Remove(p.socket); err != nil {
		t.Fatal(err)
	}
	p.command("status").wants(t, 1, "", "SIGUSR2")
	first := p.cmd.Process.Pid
	p.signal(syscall.SIGUSR2)
	p.poll("another socket", func() bool { return p.command("status").code == 0 })
	if pid := p.status().PID; pid == first {
		t.Errorf("process %d answers", pid)
	}
	hasEnded(t, first)
	p.endSuccessor(p.status().PID)
	if _, err := os.Stat(p.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind (%v)", err)
	}
}

// TestLogIsRotatedDuringUpgrade: the log's file is renamed while a process from before an upgrade has a session. The line of that
// session is in the new file.
func TestLogIsRotatedDuringUpgrade(t *testing.T) {
	onLinux(t)
	path := filepath.Join(t.TempDir(), "fairlead.log")
	dir := socketDir(t)
	p := spawn(t, writeConfig(t, dir, inFront(startFE(t, fakefe.Config{}))+"[log]\nformat = \"json\"\nfile = \""+path+
		"\"\n[admin]\nlisten = \"\"\nsocket = \"s\"\n[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n"))
	p.socket = filepath.Join(dir, "s")
	p.poll("an answer", func() bool { return p.command("status").code == 0 })
	db := openDB(t, "root@tcp("+p.status().Listeners[0].Addresses[0].String()+")/")
	held := connect(t, db)
	p.command("upgrade").wants(t, 0, "serves now", "")
	successor := p.status().PID
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(successor, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	opened := func() int {
		text, _ := os.ReadFile(path)
		return bytes.Count(text, []byte("the log's file is opened anew"))
	}
	p.poll("both processes to open the file", func() bool { return opened() == 2 })
	held.Close()
	db.Close()
	hasEnded(t, p.cmd.Process.Pid)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sessions := 0
	for line := range bytes.Lines(text) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if r["msg"] == "session" || r["msg"] == "session ended" {
			sessions++
		}
	}
	if sessions != 1 {
		t.Errorf("the new file has the lines of %d sessions, want 1:\n%s", sessions, text)
	}
	p.endSuccessor(successor)
}

// endSuccessor ends a process that has taken over, and waits for that.
func (p *process) endSuccessor(pid int) {
	p.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	hasEnded(p.t, pid)
}

// TestUpgradeBringsStateFile: an upgrade that puts a state file in force writes what persons have ordered before.
func TestUpgradeBringsStateFile(t *testing.T) {
	onLinux(t)
	dir := socketDir(t)
	state := filepath.Join(dir, "orders.json")
	text := inFront(startFE(t, fakefe.Config{})) + "[shutdown]\ngrace = \"0s\"\n[admin]\nlisten = \"127.0.0.1:0\"\nsocket = \"s\"\n"
	p := launchFile(t, writeConfig(t, dir, text))
	p.command("drain", "fe1").wants(t, 0, "fe1 is draining", "")
	writeConfig(t, dir, text+"state_file = \""+state+"\"\n")
	p.upgrade()
	p.poll("the state file", func() bool {
		kept, _ := os.ReadFile(state)
		return strings.Contains(string(kept), `"drain"`) && strings.Contains(string(kept), `"fe1"`)
	})
}
