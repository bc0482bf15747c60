package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// upgrade has a process replaced, and returns the new one's number. The new one ends with the test.
func (p *process) upgrade(arguments ...string) int {
	p.t.Helper()
	o := p.command(append([]string{"upgrade"}, arguments...)...)
	m := regexp.MustCompile(`^process (\d+) \(\S+\) serves now; process \d+ goes on with \d+ sessions?\n$`).FindStringSubmatch(o.stdout)
	if o.code != 0 || m == nil {
		p.t.Fatalf("upgrade: exit status %d\n%s%s", o.code, o.stdout, o.stderr)
	}
	pid, _ := strconv.Atoi(m[1])
	endWithTest(p.t, pid)
	return pid
}

// endWithTest ends a process that the program has started, if it is still there.
func endWithTest(t *testing.T, pid int) {
	t.Cleanup(func() {
		if alive(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// alive tells whether a process is running. One that has ended, and whose parent has not asked how, is not.
func alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}

// hasEnded waits for the end of a process.
func hasEnded(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool { return !alive(pid) })
}

// descriptors counts a process's open files.
func descriptors(pid int) int {
	all, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(all)
}

// onLinux skips a test elsewhere: it looks at processes.
func onLinux(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc here")
	}
}

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

// launchFile is launch for a file that is written already.
func launchFile(t *testing.T, config string) *process {
	t.Helper()
	p := spawn(t, config)
	p.serving()
	return p
}

// watchFile reads a file all the time, until the function that it returns is called, which tells what else than "0\n" was in it.
func watchFile(t *testing.T, path string) func() string {
	stop := make(chan struct{})
	var other string
	var watching sync.WaitGroup
	watching.Go(func() {
		again := time.NewTicker(time.Millisecond)
		defer again.Stop()
		for {
			if text, err := os.ReadFile(path); (err != nil || string(text) != "0\n") && other == "" {
				other = fmt.Sprintf("%s (%v)", text, err)
			}
			select {
			case <-stop:
				return
			case <-again.C:
			}
		}
	})
	var once sync.Once
	end := func() { once.Do(func() { close(stop); watching.Wait() }) }
	t.Cleanup(end)
	return func() string { end(); return other }
}

// startEcho starts a server that sends back what it gets, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// conversation is a session in which known bytes go to a server and come back, in both directions at once, until it is ended.
type conversation struct {
	conn   *net.TCPConn
	stop   chan struct{}
	result chan error
	rounds chan struct{} // one for each that is over
}

func holdConversation(t *testing.T, address string) *conversation {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	v := &conversation{conn: c.(*net.TCPConn), stop: make(chan struct{}), result: make(chan error, 1), rounds: make(chan struct{})}
	go func() { v.result <- v.run() }()
	v.more(t)
	return v
}

// run sends, and compares what comes back. Each round is other bytes, and of another length, up to half a megabyte.
func (v *conversation) run() error {
	for round := uint32(1); ; round++ {
		sent := make([]byte, 1+(round*7919)%(1<<19))
		for i := range sent {
			sent[i] = byte(uint32(i)*2654435761>>11 + round)
		}
		writing := make(chan error, 1)
		go func() { _, err := v.conn.Write(sent); writing <- err }()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(v.conn, got); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := <-writing; err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if !bytes.Equal(sent, got) {
			return fmt.Errorf("round %d: other bytes came back", round)
		}
		select {
		case v.rounds <- struct{}{}:
		case <-v.stop:
			return v.finish()
		}
	}
}

// finish ends the session in order, and wants the same of the other side.
func (v *conversation) finish() error {
	if err := v.conn.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(v.conn)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end %d more bytes came, and %v", len(rest), err)
	}
	return nil
}

// more waits for a few more rounds.
func (v *conversation) more(t *testing.T) {
	t.Helper()
	for range 5 {
		select {
		case <-v.rounds:
		case err := <-v.result:
			t.Fatalf("the long session has ended: %v", err)
		case <-time.After(patience):
			t.Fatal("the long session hangs")
		}
	}
}

func (v *conversation) end(t *testing.T) {
	t.Helper()
	close(v.stop)
	select {
	case err := <-v.result:
		if err != nil {
			t.Errorf("the long session: %v", err)
		}
	case <-time.After(patience):
		t.Error("the long session does not end")
	}
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
