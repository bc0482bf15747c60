//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// processClock is the id of the clock that counts the processor time of process pid: user and system time
// of all its threads in nanoseconds, those that have ended included, as the scheduler accounts it
// (clock_getcpuclockid(3); CPUCLOCK_SCHED, 2, in the kernel's include/linux/posix-timers.h). utime and stime in
// /proc/PID/stat are 10 ms coarse, and the schedstat files of tasks forget threads that have ended.
func processClock(pid int) int32 { return int32(^pid)<<3 | 2 }

// cpuTime sums the processor time that the processes have used since they began.
func cpuTime(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		var t unix.Timespec
		if err := unix.ClockGettime(processClock(pid), &t); err != nil {
			return 0, fmt.Errorf("bench: processor time of process %d: %w", pid, err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// processTree gives root and all its descendants, such as the workers of nginx, in ascending order.
func processTree(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended since
		}
		if err != nil {
			return nil, err
		}
		if pid, parent, ok := parentOf(text); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	slices.Sort(tree)
	return tree, nil
}

// parentOf reads the ids of process and parent from a /proc/PID/stat: "pid (name) state ppid …". The name may
// hold blanks and parentheses, so the last parenthesis ends it.
func parentOf(stat []byte) (pid, parent int, ok bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, 0, false
	}
	rest := bytes.Fields(stat[end+1:])
	if len(rest) < 2 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	if err != nil {
		return 0, 0, false
	}
	parent, err = strconv.Atoi(string(rest[1]))
	return pid, parent, err == nil
}
