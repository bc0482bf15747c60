package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// network is hosts on one wire: network namespaces that are joined by a bridge, which has one of its own. Nothing of it
// is seen in the namespace of the tests.
type network struct {
	t      *testing.T
	prefix string // of the namespaces' names
}

// networkRole has this test's binary be something else: the value is one of networkRoles. Its standard input ends when it
// is no longer wanted, be it because the tests were killed.
const networkRole = "FAIRLEAD_E2E_NETWORK_ROLE"

var networkRoles = map[string]func(argument string) error{
	"sweeper": sweep,
	"load":    runLoad,
	"fe":      runFE,
}

func init() {
	name := os.Getenv(networkRole)
	if name == "" {
		return
	}
	_ = mysql.SetLogger(quiet{})
	role, argument, _ := strings.Cut(name, " ")
	if err := networkRoles[role](argument); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newNetwork makes a network without hosts. It needs root and ip(8).
func newNetwork(t *testing.T) *network {
	t.Helper()
	required(t, "ip")
	if os.Geteuid() != 0 {
		lacks(t, "root, to make network namespaces")
	}
	n := &network{t: t, prefix: fmt.Sprintf("fl-%08x-", rand.Uint32())}
	n.startSweeper()
	n.ip("netns", "add", n.name("wire"))
	n.ip("-n", n.name("wire"), "link", "add", "wire", "type", "bridge")
	n.ip("-n", n.name("wire"), "link", "set", "wire", "up")
	return n
}

func (n *network) name(host string) string { return n.prefix + host }

// ip runs ip(8), which must succeed.
func (n *network) ip(arguments ...string) {
	n.t.Helper()
	text, err := exec.Command(required(n.t, "ip"), arguments...).CombinedOutput()
	switch {
	case err == nil:
	case strings.Contains(string(text), "not permitted"):
		lacks(n.t, "the right to make network namespaces")
	default:
		n.t.Fatalf("ip %s: %v\n%s", strings.Join(arguments, " "), err, text)
	}
}

// host adds a host with these addresses, of one network of 24 bits.
func (n *network) host(name string, addresses ...string) {
	n.t.Helper()
	n.ip("netns", "add", n.name(name))
	n.ip("-n", n.name("wire"), "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", n.name(name))
	n.ip("-n", n.name("wire"), "link", "set", name, "master", "wire", "up")
	for _, a := range addresses {
		n.ip("-n", n.name(name), "address", "add", a+"/24", "dev", "eth0")
	}
	n.ip("-n", n.name(name), "link", "set", "lo", "up")
	n.ip("-n", n.name(name), "link", "set", "eth0", "up")
}

// cut takes a host off the wire without a word to anybody, join puts it back.
func (n *network) cut(host string)  { n.ip("-n", n.name("wire"), "link", "set", host, "down") }
func (n *network) join(host string) { n.ip("-n", n.name("wire"), "link", "set", host, "up") }

// inside is the command that runs another one on a host.
func (n *network) inside(host string) []string {
	return []string{required(n.t, "ip"), "netns", "exec", n.name(host)}
}

// command is a program on a host.
func (n *network) command(host, program string, arguments ...string) *exec.Cmd {
	all := append(append(n.inside(host), program), arguments...)
	cmd := exec.Command(all[0], all[1:]...)
	endWithParent(cmd)
	return cmd
}

// play is this test's binary in a role, on a host. It ends when its standard input does, at the latest with the test.
func (n *network) play(host, role, argument string) (cmd *exec.Cmd, stop func()) {
	n.t.Helper()
	cmd = n.command(host, os.Args[0])
	cmd.Env = append(os.Environ(), networkRole+"="+role+" "+argument)
	input, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	return cmd, func() { input.Close() }
}

// startSweeper starts what removes the network, also when the tests are killed: a process that sees the end of its
// standard input in any case.
func (n *network) startSweeper() {
	n.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), networkRole+"=sweeper "+n.prefix)
	input, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		input.Close()
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("removing the network: %v", err)
		}
	})
}

// sweep waits for the end of the standard input, and removes the namespaces with a prefix and what runs in them.
func sweep(prefix string) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // which whoever ends the tests may send to all of them
	_, _ = io.Copy(io.Discard, os.Stdin)
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("ip netns list: %w", err)
	}
	var failed []error
	for line := range strings.Lines(string(list)) {
		name := strings.Fields(line)[0]
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		pids, err := exec.Command("ip", "netns", "pids", name).Output()
		failed = append(failed, err)
		for _, text := range strings.Fields(string(pids)) {
			if pid, err := strconv.Atoi(text); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			}
		}
		failed = append(failed, exec.Command("ip", "netns", "delete", name).Run())
	}
	return errors.Join(failed...)
}

// untilEnd is done when the standard input ends.
func untilEnd() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return ctx
}

// startFE starts a front end on a host, on port 9030 of all its addresses. Asked like a MariaDB server, it tells its name.
func (n *network) startFE(host, name string) {
	n.t.Helper()
	cmd, stop := n.play(host, "fe", name)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		stop()
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("front end %s: %v", name, err)
		}
	})
}

func runFE(name string) error {
	fe, err := fakefe.Start(fakefe.Config{Name: name, Listen: "0.0.0.0:9030", HTTPListen: "0.0.0.0:8030",
		Users: map[string]string{appUser: appPassword}})
	if err != nil {
		return err
	}
	defer fe.Stop()
	fe.Answer(whichMariaDB, fakefe.Answer{Columns: []string{"@@server_id"}, Rows: [][]any{{name}}})
	<-untilEnd().Done()
	return nil
}

// startFairlead starts fairlead on a host and returns when it is ready. Its admin pages can't be reached; its control socket can.
func (n *network) startFairlead(host, text string) *process {
	n.t.Helper()
	dir := socketDir(n.t)
	config := writeConfig(n.t, dir, text)
	p := &process{t: n.t, config: config, socket: filepath.Join(dir, "control.sock"), ended: make(chan struct{}),
		cmd: n.command(host, binary, "run", "-c", config)}
	p.mu.changed = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	n.t.Cleanup(p.cleanUp)
	p.awaitMessage("serving")
	client := control.NewClient(p.socket)
	p.poll("readiness", func() bool {
		s, err := client.Status(n.t.Context())
		return err == nil && s.Ready
	})
	return p
}

// come starts a load on a host. It ends with the test, or by stop.
func (n *network) come(host string, l load) *traffic {
	n.t.Helper()
	text, err := json.Marshal(l)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd, stop := n.play(host, "load", string(text))
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	f := &traffic{t: n.t, load: l, cancel: stop, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for lines := json.NewDecoder(bufio.NewReader(output)); ; {
			var h happening
			if err := lines.Decode(&h); err != nil {
				break
			}
			f.write(h)
		}
		f.err = cmd.Wait()
	}()
	n.t.Cleanup(f.end)
	return f
}

// runLoad has clients come until the standard input ends, and prints what happens.
func runLoad(argument string) error {
	var l load
	if err := json.Unmarshal([]byte(argument), &l); err != nil {
		return err
	}
	lines := make(chan happening)
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		out := bufio.NewWriter(os.Stdout)
		defer out.Flush()
		to := json.NewEncoder(out)
		for h := range lines {
			_ = to.Encode(h)
			if len(lines) == 0 {
				_ = out.Flush()
			}
		}
	}()
	err := l.run(untilEnd(), func(h happening) { lines <- h })
	close(lines)
	<-printed
	return err
}
