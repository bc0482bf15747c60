//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

func sysbenchArguments(server netip.AddrPort) []string {
	return []string{"oltp_point_select", "--mysql-host=" + server.Addr().String(),
		"--mysql-port=" + strconv.Itoa(int(server.Port())), "--mysql-user=root", "--mysql-db=sbtest",
		"--tables=1", "--table-size=" + strconv.Itoa(tableRows)}
}

// underSysbench carries out load e over the proxy. Processor time is that of the whole run, so the few logins at its
// beginning are in it. Memory and descriptors are read half-way.
func (d *database) underSysbench(ctx context.Context, proxy netip.AddrPort, pids []int, threads int, duration time.Duration, l layout) (measurement, error) {
	seconds := max(1, int(math.Ceil(duration.Seconds()))) // it knows whole seconds only
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+patience)
	defer cancel()
	idle, err := footprintOf(pids)
	if err != nil {
		return nil, err
	}
	before, err := cpuTime(pids)
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, d.sysbench, append(sysbenchArguments(proxy), "--threads="+strconv.Itoa(threads),
		"--time="+strconv.Itoa(seconds), "--histogram=on", "run")...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startPinned(cmd, l.Load); err != nil {
		return nil, fmt.Errorf("bench: sysbench: %w", err)
	}
	halfway := time.NewTimer(time.Duration(seconds) * time.Second / 2)
	defer halfway.Stop()
	select {
	case <-halfway.C:
	case <-ctx.Done():
	}
	m := measurement{}
	busy := idle.grown(m, memoryAtOnce, pids, threads)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("bench: sysbench: %w: %s", err, output.Bytes())
	}
	if busy != nil {
		return nil, busy
	}
	m.dropNoise(threads)
	after, err := cpuTime(pids)
	if err != nil {
		return nil, err
	}
	rate, h, err := parseSysbench(output.Bytes())
	if err != nil {
		return nil, err
	}
	m[operations] = rate
	m.latencies(h)
	m[cpuPerOperation] = float64(after-before) / float64(time.Microsecond) / float64(h.total)
	return m, nil
}

var (
	sysbenchRate   = regexp.MustCompile(`(?m)^\s*queries:\s+\d+\s+\(([0-9.]+) per sec\.\)`)
	sysbenchBucket = regexp.MustCompile(`(?m)^\s*([0-9.]+) \|\**\s+(\d+)\s*$`)
)

var errSysbenchOutput = errors.New("bench: sysbench printed neither rate nor histogram")

// parseSysbench reads queries per second and the histogram, whose values are milliseconds, out of what sysbench
// 1.0 prints.
func parseSysbench(output []byte) (float64, *histogram, error) {
	h := new(histogram)
	for _, match := range sysbenchBucket.FindAllSubmatch(output, -1) {
		milliseconds, err := strconv.ParseFloat(string(match[1]), 64)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %w", errSysbenchOutput, err)
		}
		count, err := strconv.ParseUint(string(match[2]), 10, 64)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %w", errSysbenchOutput, err)
		}
		h.addMany(time.Duration(milliseconds*float64(time.Millisecond)), count)
	}
	match := sysbenchRate.FindSubmatch(output)
	if match == nil || h.total == 0 {
		return 0, nil, errSysbenchOutput
	}
	rate, err := strconv.ParseFloat(string(match[1]), 64)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errSysbenchOutput, err)
	}
	return rate, h, nil
}
