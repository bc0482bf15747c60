package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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
