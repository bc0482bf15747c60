package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/fakefe"
)

// container is a fairlead that is process 1 of its PID namespace, as in a container.
type container struct {
	*process
	first int // its process 1, as it is known outside
}

func startContainer(t *testing.T, text string) *container {
	t.Helper()
	onLinux(t)
	unshare := required(t, "unshare")
	if err := exec.Command(unshare, "--pid", "--fork", "true").Run(); err != nil {
		t.Skipf("no PID namespace can be made: %v", err)
	}
	c := &container{process: spawnBy(t, writeConfig(t, socketDir(t), text), unshare, "--pid", "--fork", "--kill-child", binary)}
	c.serving()
	c.awaitReady()
	pid := c.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Skip(err) // a kernel without CONFIG_PROC_CHILDREN
	}
	if _, err := fmt.Sscan(string(children), &c.first); err != nil {
		t.Fatalf("children of unshare: %q", children)
	}
	return c
}

// outside is the number of a process of the container outside of it.
func (c *container) outside(pid int) int {
	c.t.Helper()
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.first))
	if err != nil {
		c.t.Fatal(err)
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, entry := range all {
		its, err := os.Readlink("/proc/" + entry.Name() + "/ns/pid")
		if err != nil || its != namespace {
			continue
		}
		status, _ := os.ReadFile("/proc/" + entry.Name() + "/status")
		for line := range strings.Lines(string(status)) {
			if numbers := strings.Fields(line); len(numbers) > 1 && numbers[0] == "NSpid:" && numbers[len(numbers)-1] == fmt.Sprint(pid) {
				var number int
				fmt.Sscan(entry.Name(), &number)
				return number
			}
		}
	}
	c.t.Fatalf("there is no process %d in the container", pid)
	return 0
}

// replaced has the process that serves replaced, and returns the number of the new one in the container.
func (c *container) replaced() int {
	c.t.Helper()
	before := c.status().PID
	c.command("upgrade").wants(c.t, 0, "serves now", "")
	after := c.status().PID
	if after == before {
		c.t.Fatalf("process %d still answers", after)
	}
	return after
}

// TestUpgradeInContainer: process 1 stays as the parent of the others, passes on signals, and ends with the one that serves, as that
// does.
func TestUpgradeInContainer(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	text := inFront(fe) + "[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n"
	t.Run("told to end", func(t *testing.T) {
		c := startContainer(t, text)
		db := c.open("mysql")
		held := connect(t, db)
		second := c.outside(c.replaced())
		third := c.outside(c.replaced()) // while process 1 has a session, and the second one has none
		hasEnded(t, second)
		if got := ask(t, held, "select @@hostname"); got != "fe1" {
			t.Errorf("the session is answered by %q", got)
		}
		held.Close()
		db.Close()
		c.awaitMessage("no sessions are left: this process stays as the parent of the one that serves")
		c.poll("process 1 to have told that it has no sessions", func() bool {
			s := c.status()
			return len(s.Former) == 0 && s.Pools[0].Backends[0].Former == 0
		})
		if err := syscall.Kill(c.first, syscall.SIGUSR2); err != nil { // what process 1 gets is for the one that serves
			t.Fatal(err)
		}
		hasEnded(t, third)
		fourth := c.outside(c.status().PID)
		later := c.open("mysql")
		if got := ask(t, later, "select @@hostname"); got != "fe1" {
			t.Errorf("a new session is answered by %q", got)
		}
		later.Close()
		if !alive(c.first) || !alive(fourth) || fourth == c.first {
			t.Fatal("process 1 has not stayed")
		}
		if err := syscall.Kill(c.first, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.awaitMessage("shutdown asked for")
		c.exits(0)
	})
	t.Run("killed", func(t *testing.T) {
		c := startContainer(t, text)
		second := c.outside(c.replaced())
		c.awaitMessage("no sessions are left: this process stays as the parent of the one that serves")
		if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.exits(128 + int(syscall.SIGKILL))
	})
	t.Run("told to end with sessions left", func(t *testing.T) {
		c := startContainer(t, text)
		db := c.open("mysql")
		old := connect(t, db)
		c.replaced()
		if err := syscall.Kill(c.first, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.awaitMessage("shutdown asked for")
		if got := ask(t, old, "select @@hostname"); got != "fe1" {
			t.Errorf("the session is answered by %q", got)
		}
		old.Close()
		db.Close()
		c.exits(0)
	})
}
