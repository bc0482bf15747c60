//go:build linux

package main

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestCPUTimeSeesWork compares the clock with what getrusage counts for the same work of this process.
func TestCPUTimeSeesWork(t *testing.T) {
	pids := []int{os.Getpid()}
	usage := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	read := func() time.Duration {
		d, err := cpuTime(pids)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	outerStart := usage()
	innerStart := read()
	for sum := 0; usage()-outerStart < 50*time.Millisecond; {
		for i := range 100_000 {
			sum += i
		}
	}
	inner := read() - innerStart
	outer := usage() - outerStart
	// The clock is read within the span of the other, which is coarser by a tick at both ends.
	const tick = 10 * time.Millisecond
	if inner <= 0 || inner > outer+2*tick {
		t.Errorf("%v of processor time within %v", inner, outer)
	}
	if inner < 50*time.Millisecond-2*tick {
		t.Errorf("%v of processor time for 50ms of work", inner)
	}
	twice, err := cpuTime([]int{pids[0], pids[0]})
	if err != nil || twice < inner {
		t.Errorf("the sum over two processes: %v, %v", twice, err)
	}
}

func TestCPUTimeOfNobodyIsAnError(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if d, err := cpuTime([]int{cmd.Process.Pid}); err == nil {
		t.Errorf("%v for a process that has ended", d)
	}
}

func TestProcessTreeHasChildren(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tree, err := processTree(os.Getpid())
	stdin.Close()
	cmd.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{os.Getpid(), cmd.Process.Pid} {
		if !slices.Contains(tree, pid) {
			t.Errorf("%d is missing in %v", pid, tree)
		}
	}
}

func TestParentOf(t *testing.T) {
	for _, c := range []struct {
		stat        string
		pid, parent int
		ok          bool
	}{
		{"42 (nginx) S 7 42 42 0", 42, 7, true},
		{"42 (a) S 9 (b)) R 8 1", 42, 8, true},
		{"42 nginx S 7", 0, 0, false},
		{"42 (nginx) S", 0, 0, false},
		{")(", 0, 0, false},
		{"", 0, 0, false},
	} {
		pid, parent, ok := parentOf([]byte(c.stat))
		if ok != c.ok || ok && (pid != c.pid || parent != c.parent) {
			t.Errorf("%q: %d, %d, %v", c.stat, pid, parent, ok)
		}
	}
}
