package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Addresses of the network that the tests of the VIP make: one bridge, and a namespace each for the client, both
// nodes and the front ends.
const (
	vipAddress = "10.90.0.10"
	vipPort    = "9030"
	vipFE      = "10.90.0.21"
)

// vipNode is one of the two nodes: a fairlead under something that does after its end what systemd would do, and a
// keepalived with the configuration that is in deploy.
type vipNode struct {
	lab        *vipLab
	name       string
	address    string
	dir        string
	readiness  string
	supervisor *exec.Cmd
	keepalived *exec.Cmd
}

// vipLab is the network with all that runs in it.
type vipLab struct {
	t      *testing.T
	dir    string
	prefix string // of the namespaces' names
	nodes  [2]*vipNode
	fes    *exec.Cmd

	logs map[string]*vipLog
}

// vipLog takes what a program prints.
type vipLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *vipLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *vipLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newVIPLab makes the network and starts everything: it returns when the first node has the VIP and the second one
// could take it.
func newVIPLab(t *testing.T) *vipLab {
	t.Helper()
	keepalived := required(t, "keepalived")
	required(t, "curl") // which the configuration's script calls
	required(t, "ip")
	if os.Geteuid() != 0 {
		lacks(t, "root, to make network namespaces")
	}
	l := &vipLab{t: t, dir: socketDir(t), prefix: fmt.Sprintf("fl%d-", os.Getpid()), logs: map[string]*vipLog{}}
	if err := os.Chmod(l.dir, 0o755); err != nil { // keepalived's scripts run as nobody
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.build()
	l.fes = l.start("fes", "fe", os.Args[0])
	for i := range l.nodes {
		l.nodes[i] = l.newNode(i)
	}
	for i, n := range l.nodes {
		n.startFairlead()
		n.awaitReadiness("0")
		n.startKeepalived(keepalived)
		if i == 0 {
			n.awaitVIP(true) // before the other one is there, so that it is this one
		}
	}
	l.nodes[1].awaitScript()
	return l
}

// lacks skips a test, or fails it where everything must be there.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
		t.Fatalf("this test needs %s, and FAIRLEAD_E2E_REQUIRE=1 wants it", what)
	}
	t.Skipf("this test needs %s", what)
}

// build makes the namespaces and joins them by a bridge.
func (l *vipLab) build() {
	l.t.Helper()
	l.ip("netns", "add", l.ns("net"))
	l.ip("-n", l.ns("net"), "link", "add", "br0", "type", "bridge")
	l.ip("-n", l.ns("net"), "link", "set", "br0", "up")
	for name, address := range map[string]string{"client": "10.90.0.1", "node1": "10.90.0.11", "node2": "10.90.0.12", "fe": vipFE} {
		l.ip("netns", "add", l.ns(name))
		l.ip("-n", l.ns("net"), "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", l.ns(name))
		l.ip("-n", l.ns("net"), "link", "set", name, "master", "br0", "up")
		l.ip("-n", l.ns(name), "address", "add", address+"/24", "dev", "eth0")
		l.ip("-n", l.ns(name), "link", "set", "lo", "up")
		l.ip("-n", l.ns(name), "link", "set", "eth0", "up")
	}
}

func (l *vipLab) ns(name string) string { return l.prefix + name }

// ip runs ip(8), which must succeed.
func (l *vipLab) ip(arguments ...string) {
	l.t.Helper()
	if text, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		if strings.Contains(string(text), "Operation not permitted") {
			lacks(l.t, "the right to make network namespaces")
		}
		l.t.Fatalf("ip %s: %v\n%s", strings.Join(arguments, " "), err, text)
	}
}

// command is a program in a namespace. This test's own binary, given a role, is one of vipRoles.
func (l *vipLab) command(role, ns, program string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", l.ns(ns), program}, arguments...)...)
	cmd.Env = append(os.Environ(), vipRole+"="+role)
	endWithParent(cmd)
	return cmd
}

// start starts a program in a namespace; the end of the test ends it.
func (l *vipLab) start(role, ns, program string, arguments ...string) *exec.Cmd {
	l.t.Helper()
	cmd := l.command(role, ns, program, arguments...)
	log := &vipLog{}
	l.logs[ns+" "+filepath.Base(program)] = log
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	return cmd
}

// close ends what runs in the namespaces, and removes them.
func (l *vipLab) close() {
	for _, name := range []string{"client", "node1", "node2", "fe", "net"} {
		pids, err := exec.Command("ip", "netns", "pids", l.ns(name)).Output()
		if err != nil {
			continue // it was never made
		}
		for _, pid := range strings.Fields(string(pids)) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
	}
	wait := func(cmd *exec.Cmd) {
		if cmd != nil {
			_ = cmd.Wait()
		}
	}
	wait(l.fes)
	for _, n := range l.nodes {
		if n != nil {
			wait(n.supervisor)
			wait(n.keepalived)
		}
	}
	for _, name := range []string{"client", "node1", "node2", "fe", "net"} {
		_ = exec.Command("ip", "netns", "delete", l.ns(name)).Run()
	}
	if l.t.Failed() {
		for name, log := range l.logs {
			l.t.Logf("%s:\n%s", name, log.String())
		}
	}
}

// poll looks again and again until done says so.
func (l *vipLab) poll(what string, done func() bool) {
	l.t.Helper()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for timeout := time.After(patience); !done(); {
		select {
		case <-again.C:
		case <-timeout:
			l.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (l *vipLab) newNode(i int) *vipNode {
	l.t.Helper()
	n := &vipNode{lab: l, name: fmt.Sprintf("node%d", i+1), address: fmt.Sprintf("10.90.0.1%d", i+1)}
	n.dir = filepath.Join(l.dir, n.name)
	n.readiness = filepath.Join(n.dir, "readiness")
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	// Before the address, as the README says.
	settings, err := filepath.Abs("../deploy/keepalived/sysctl.conf")
	if err != nil {
		l.t.Fatal(err)
	}
	l.ip("netns", "exec", l.ns(n.name), required(l.t, "sysctl"), "-q", "-p", settings)
	l.ip("-n", l.ns(n.name), "address", "add", vipAddress+"/32", "dev", "lo")
	return n
}

// startFairlead starts the balancer under a shell that runs the unit's ExecStopPost after each end.
func (n *vipNode) startFairlead() {
	n.lab.t.Helper()
	config := writeConfig(n.lab.t, n.dir, fmt.Sprintf(`
[admin]
listen = "127.0.0.1:9090"
socket = "control.sock"
readiness_file = "readiness"
[shutdown]
grace = "2s"
drain = "1s"
[[listener]]
name = "mysql"
bind = "%s:%s"
pool = "fe"
[[pool]]
name = "fe"
slow_start = "0s"
  [pool.probe]
  interval = "1s"
  [[pool.backend]]
  address = "%s:9030"
  [[pool.backend]]
  address = "%s:9031"
`, vipAddress, vipPort, vipFE, vipFE))
	n.supervisor = n.lab.start("", n.name, "/bin/sh", "-c",
		`"$0" run -c "$1" & echo $! >"$2/pid.new"; mv "$2/pid.new" "$2/pid"; wait $!; `+n.stopPost(), binary, config, n.dir)
	n.lab.poll(n.name+"'s fairlead", func() bool { _, err := os.Stat(filepath.Join(n.dir, "pid")); return err == nil })
}

// stopPost is the unit's ExecStopPost for this node's file.
func (n *vipNode) stopPost() string {
	n.lab.t.Helper()
	unit, err := os.ReadFile("../deploy/systemd/fairlead.service")
	if err != nil {
		n.lab.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ExecStopPost=-/bin/sh -c '(.*)'$`).FindSubmatch(unit)
	if m == nil {
		n.lab.t.Fatal("the unit has no ExecStopPost that this test understands")
	}
	return strings.ReplaceAll(string(m[1]), "/run/fairlead-vip", n.dir)
}

// startKeepalived starts keepalived with deploy's configuration, changed where a user would change it.
func (n *vipNode) startKeepalived(program string) {
	n.lab.t.Helper()
	text, err := os.ReadFile("../deploy/keepalived/keepalived.conf")
	if err != nil {
		n.lab.t.Fatal(err)
	}
	changes := []string{"/run/fairlead-vip", n.dir, "10.0.0.10/24", vipAddress + "/24"}
	own, other := "10.90.0.11", "10.90.0.12"
	if n.name == "node2" {
		own, other = other, own
		changes = append(changes, "priority 250 ", "priority 240 ", "fairlead-1", "fairlead-2")
	}
	changes = append(changes, "10.0.0.11", own, "10.0.0.12", other)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			n.lab.t.Fatalf("keepalived.conf has no %q", changes[i])
		}
	}
	config := filepath.Join(n.dir, "keepalived.conf")
	if err := os.WriteFile(config, []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o644); err != nil {
		n.lab.t.Fatal(err)
	}
	n.keepalived = n.lab.start("", n.name, program, "-P", "-n", "-l", "-G", "-f", config,
		"-p", filepath.Join(n.dir, "keepalived.pid"), "-r", filepath.Join(n.dir, "vrrp.pid"))
}

// signal sends a signal to the node's fairlead.
func (n *vipNode) signal(s syscall.Signal) {
	n.lab.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "pid"))
	if err != nil {
		n.lab.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		n.lab.t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		n.lab.t.Fatal(err)
	}
}

// hasVIP tells whether the node holds the VIP.
func (n *vipNode) hasVIP() bool {
	text, err := exec.Command("ip", "-n", n.lab.ns(n.name), "address", "show", "dev", "eth0").Output()
	return err == nil && strings.Contains(string(text), " "+vipAddress+"/")
}

func (n *vipNode) awaitVIP(has bool) {
	n.lab.t.Helper()
	n.lab.poll(fmt.Sprintf("the VIP on %s: %v", n.name, has), func() bool { return n.hasVIP() == has })
}

func (n *vipNode) awaitReadiness(want string) {
	n.lab.t.Helper()
	n.lab.poll(n.name+"'s readiness file to say "+want, func() bool {
		text, err := os.ReadFile(n.readiness)
		return err == nil && strings.TrimSpace(string(text)) == want
	})
}

// awaitScript waits until keepalived's script has found the node's fairlead good, and the node is a BACKUP.
func (n *vipNode) awaitScript() {
	n.lab.t.Helper()
	n.lab.poll(n.name+" to be a backup", func() bool {
		return strings.Contains(n.lab.logs[n.name+" keepalived"].String(), "Entering BACKUP STATE")
	})
}
