package e2e

import (
	"fmt"
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

// manager is a service manager that hears all it is told at once.
type manager struct {
	t      *testing.T
	states chan string
}

func listenTo(t *testing.T, c *net.UnixConn) *manager {
	m := &manager{t: t, states: make(chan string, 1<<16)}
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				return // the test is over
			}
			m.states <- string(b[:n])
		}
	}()
	return m
}

// await waits until it is told a state.
func (m *manager) await(state string) {
	m.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case told := <-m.states:
			if strings.Contains(told, state) {
				return
			}
		case <-timeout:
			m.t.Fatalf("the service manager was not told %s", state)
		}
	}
}

// TestUpgradeFails: a new process that can't serve changes nothing, and one says why. So does an upgrade during an upgrade.
func TestUpgradeFails(t *testing.T) {
	onLinux(t)
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	program := filepath.Join(dir, "fairlead")
	if err := os.Link(binary, program); err != nil {
		t.Skip(err) // another file system
	}
	readiness := filepath.Join(dir, "readiness")
	config := writeConfig(t, dir, inFront(fe)+fmt.Sprintf("[admin]\nlisten = \"127.0.0.1:0\"\nsocket = %q\nreadiness_file = %q\n", filepath.Join(dir, "s"), readiness)+
		"[shutdown]\ndrain = \"1h\"\ngrace = \"0s\"\n")
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	manager := listenTo(t, serviceManager(t))
	p := spawnBy(t, config, program)
	p.serving()
	p.awaitReady()
	manager.await("READY=1")
	eventually(t, "the readiness file to say yes", func() bool { b, _ := os.ReadFile(readiness); return string(b) == "0\n" })
	says := watchFile(t, readiness)
	held := connect(t, p.open("mysql"))
	first := p.cmd.Process.Pid
	before := descriptors(first)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	replace := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	unchanged := func(name string) {
		t.Helper()
		if s := p.status(); s.PID != first || !s.Ready || len(s.Former) > 0 || s.Sessions != 1 {
			t.Errorf("%s: process %d, ready %v, former %v, %d sessions", name, s.PID, s.Ready, s.Former, s.Sessions)
		}
		if got := ask(t, held, "select @@hostname"); got != "fe1" {
			t.Errorf("%s: the session is answered by %q", name, got)
		}
		db := openDB(t, "root@tcp("+p.address("mysql")+")/")
		if got := ask(t, db, "select @@hostname"); got != "fe1" {
			t.Errorf("%s: a new session is answered by %q", name, got)
		}
		db.Close()
		p.poll("the new session to be over", func() bool { return p.status().Sessions == 1 })
		manager.await("RELOADING=1\nMONOTONIC_USEC=")
		manager.await("READY=1")
	}

	replace(config, string(good)+"[nonsense]\n", 0o600)
	p.command("upgrade").wants(t, 1, "", "can't serve: "+config+":")
	unchanged("a bad file")
	replace(config, string(good)+"[[listener]]\nname = \"more\"\nbind = \""+taken.Addr().String()+"\"\npool = \"fe\"\n", 0o600)
	p.command("upgrade").wants(t, 1, "", "address already in use")
	unchanged("a port that is taken")
	replace(config, string(good), 0o600)

	replace(program, "#!/bin/sh\nexit 3\n", 0o700)
	p.command("upgrade").wants(t, 1, "", "ended without a word: exit status 3")
	unchanged("a program that ends")
	replace(program, "#!/bin/sh\nkill -9 $$\n", 0o700)
	p.command("upgrade").wants(t, 1, "", "ended without a word: signal: killed")
	unchanged("a program that is killed")
	replace(program, "no program", 0o700)
	p.command("upgrade").wants(t, 1, "", "exec format error")
	unchanged("no program")
	replace(program, "#!/bin/sh\nexec sleep 1000\n", 0o700)
	p.command("upgrade", "--timeout", "300ms").wants(t, 1, "", "did not serve in time")
	unchanged("a program that hangs")

	hangs := filepath.Join(dir, "pid")
	replace(program, "#!/bin/sh\necho $$ >"+hangs+".new && mv "+hangs+".new "+hangs+"\nexec sleep 1000\n", 0o700)
	over := make(chan outcome, 1)
	go func() { over <- p.command("upgrade", "--timeout", "5m") }()
	var number int
	eventually(t, "the new process", func() bool {
		text, _ := os.ReadFile(hangs)
		number, _ = strconv.Atoi(strings.TrimSpace(string(text)))
		return number > 0
	})
	endWithTest(t, number)
	p.command("upgrade").wants(t, 1, "", "upgrade refused: an upgrade is under way already")
	p.signal(syscall.SIGUSR2)
	p.await("a word about SIGUSR2", func(r record) bool { return r["msg"] == "no upgrade" && r["by"] == "SIGUSR2" })
	if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	(<-over).wants(t, 1, "", "ended without a word: signal: killed")
	unchanged("an upgrade during an upgrade")
	eventually(t, "descriptors to be given back", func() bool { return descriptors(first) <= before })
	if m := p.metrics(); m[`fairlead_upgrades_total{result="failure"}`] != "7" {
		t.Errorf("%q failures are counted, want 7", m[`fairlead_upgrades_total{result="failure"}`])
	}

	// And one that works, by the signal, from the file that stands at the same path now.
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(binary, program); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGUSR2)
	r := p.awaitMessage("upgrade: another process has taken over")
	second := int(r["pid"].(float64))
	endWithTest(t, second)
	manager.await("RELOADING=1")
	manager.await(fmt.Sprintf("MAINPID=%d", second))
	manager.await("READY=1")
	manager.await("WATCHDOG=1")
	if s := p.status(); s.PID != second || len(s.Former) != 1 {
		t.Errorf("process %d answers, and before it there were %v", s.PID, s.Former)
	}
	if other := says(); other != "" {
		t.Errorf("the readiness file said %q", other)
	}
	// The old one ends at the second signal, although its session has not.
	p.signal(syscall.SIGUSR2)
	p.await("a word about SIGUSR2", func(r record) bool { return r["msg"] == "a signal for the process that has taken over" })
	p.signal(syscall.SIGTERM)
	p.await("a word about SIGTERM", func(r record) bool { return r["again"] == false })
	if got := ask(t, held, "select @@hostname"); got != "fe1" {
		t.Errorf("the session is answered by %q", got)
	}
	p.signal(syscall.SIGTERM)
	hasEnded(t, first)
	p.poll("nothing to be left of the old one", func() bool { return len(p.status().Former) == 0 })
}
