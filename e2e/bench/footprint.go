//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// footprint is what a proxy holds at one moment.
type footprint struct {
	memory      int64
	descriptors int
}

func footprintOf(pids []int) (footprint, error) {
	memory, err := residentMemory(pids)
	if err != nil {
		return footprint{}, err
	}
	descriptors, err := openDescriptors(pids)
	return footprint{memory, descriptors}, err
}

// grown adds what the processes hold more now than at f, for each of so many sessions.
func (f footprint) grown(m measurement, memory metric, pids []int, sessions int) error {
	now, err := footprintOf(pids)
	if err != nil {
		return err
	}
	m[memory] = float64(now.memory-f.memory) / float64(sessions)
	m[descriptorsPerSession] = float64(now.descriptors-f.descriptors) / float64(sessions)
	return nil
}

// residentMemory sums the resident set of the processes in bytes. It prefers smaps_rollup, which counts pages;
// statm sums per-processor counters that lag behind by up to some hundred KB.
func residentMemory(pids []int) (int64, error) {
	var sum int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("bench: memory of process %d: %w", pid, err)
		}
		kilobytes, err := rollupRSS(text)
		if err != nil {
			return 0, fmt.Errorf("bench: memory of process %d: %w", pid, err)
		}
		sum += kilobytes << 10
	}
	return sum, nil
}

var errNoRSS = errors.New("no line that tells the Rss")

// rollupRSS finds the "Rss: 123 kB" of a smaps_rollup file.
func rollupRSS(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == "Rss:" {
			return strconv.ParseInt(string(fields[1]), 10, 64)
		}
	}
	return 0, errNoRSS
}

// openDescriptors counts the descriptors of the processes.
func openDescriptors(pids []int) (int, error) {
	sum := 0
	for _, pid := range pids {
		dir, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			return 0, fmt.Errorf("bench: descriptors of process %d: %w", pid, err)
		}
		names, err := dir.Readdirnames(-1)
		dir.Close()
		if err != nil {
			return 0, fmt.Errorf("bench: descriptors of process %d: %w", pid, err)
		}
		sum += len(names)
	}
	return sum, nil
}
