//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// layout says on which processors each part may run. It is the same for all peers of a run. A process inherits
// its set, so a proxy that sizes itself by its usable processors sizes itself by Proxy, and the others are
// told to have as many threads or workers.
type layout struct {
	Name   string `json:"name"`
	Proxy  []int  `json:"proxy"`
	Server []int  `json:"server"`
	Load   []int  `json:"load"`
}

// Names of layouts.
const (
	layoutAuto   = "auto"
	layoutShared = "shared"
	layoutApart  = "apart"
)

// chooseLayout divides the usable processors.
//
// apart: proxies have half of them to themselves (all but one of two or three), the server and the load
// generator halve the rest, or share it when it is one. What a proxy costs is then undisturbed.
//
// shared: proxies may use all processors; the load generator is held on the last, the server on the first. On
// two processors this is the only way to let a proxy run more than one thread, and what a small machine that
// also runs other things is like.
//
// auto: apart from four processors on, else shared.
func chooseLayout(name string, usable []int) (layout, error) {
	n := len(usable)
	if n == 0 {
		return layout{}, fmt.Errorf("bench: no usable processor")
	}
	if name == layoutAuto {
		name = layoutShared
		if n >= 4 {
			name = layoutApart
		}
	}
	switch {
	case name == layoutShared || name == layoutApart && n == 1:
		return layout{layoutShared, usable, usable[:1], usable[n-1:]}, nil
	case name == layoutApart && n < 4:
		return layout{name, usable[:n-1], usable[n-1:], usable[n-1:]}, nil
	case name == layoutApart:
		half, threeQuarters := n/2, n/2+(n-n/2)/2
		return layout{name, usable[:half], usable[half:threeQuarters], usable[threeQuarters:]}, nil
	}
	return layout{}, fmt.Errorf("bench: unknown layout %q: it is auto, shared or apart", name)
}

// usableProcessors lists the processors that this process may run on.
func usableProcessors() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("bench: usable processors: %w", err)
	}
	var list []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list, nil
}

// startPinned starts cmd on the given processors. A child inherits the set of the thread that forks it, so the
// thread takes the set for a moment: there is no instant at which the child runs elsewhere.
func startPinned(cmd *exec.Cmd, processors []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		return fmt.Errorf("bench: usable processors: %w", err)
	}
	for _, cpu := range processors {
		wanted.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("bench: pin to processors %v: %w", processors, err)
	}
	started := cmd.Start()
	if err := unix.SchedSetaffinity(0, &old); err != nil && started == nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("bench: unpin: %w", err)
	}
	return started
}
