//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// turnDuration is how long a peer is measured before the next one is; turnWarmup precedes it and counts for nothing.
	turnDuration = 60 * time.Millisecond
	turnWarmup   = 15 * time.Millisecond
)

// outcome is what a round has given for one peer.
type outcome struct {
	m   measurement
	err error
}

// contender is a peer under a load that takes turns.
type contender struct {
	proxy *proxy
	load  *turnedLoad
	err   error // it is out
}

// measureInTurns starts all peers, each with a load of its own, and lets one after the other have a turn, in changing order,
// until each has been measured for as long as a round is.
func (b *bench) measureInTurns(ctx context.Context, c loadCase, peers []peer) []outcome {
	all := make([]*contender, len(peers))
	for i, p := range peers {
		all[i] = b.enter(ctx, c, p)
		defer all[i].leave()
	}
	next := turn{Warmup: b.settings.Warmup, Duration: min(turnDuration, b.settings.Duration)}
	for n := range int((b.settings.Duration + next.Duration - 1) / next.Duration) {
		for _, one := range rotate(all, n) {
			if one.err == nil && ctx.Err() == nil {
				one.err = one.load.take(next)
			}
		}
		next.Warmup = min(turnWarmup, b.settings.Warmup)
	}
	results := make([]outcome, len(all))
	for i, one := range all {
		if results[i].err = one.err; one.err == nil {
			results[i].m, results[i].err = one.proxy.verdict(one.load.finish())
		}
	}
	return results
}

// enter starts a peer and its load.
func (b *bench) enter(ctx context.Context, c loadCase, p peer) *contender {
	one := &contender{}
	if one.proxy, one.err = b.startProxy(ctx, c, p); one.err == nil {
		one.load, one.err = b.startTurns(ctx, b.assignmentOf(c, one.proxy.route, one.proxy.pids))
	}
	return one
}

func (c *contender) leave() {
	if c.load != nil {
		c.load.stop()
	}
	if c.proxy != nil {
		c.proxy.stop()
	}
}

// turnedLoad is the sub-command "load" with an assignment in turns.
type turnedLoad struct {
	cmd       *exec.Cmd
	cancel    context.CancelFunc
	stdin     io.WriteCloser
	input     *json.Encoder
	output    *json.Decoder
	complaint strings.Builder
	waited    bool
}

// startTurns starts a load that waits for its first turn.
func (b *bench) startTurns(ctx context.Context, a assignment) (*turnedLoad, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(b.peers)+1)*(a.Warmup+2*a.Duration)+2*patience)
	l := &turnedLoad{cmd: exec.CommandContext(ctx, self, "load"), cancel: cancel}
	l.cmd.Stderr = &l.complaint
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := l.cmd.StdoutPipe()
	if err == nil {
		l.stdin, err = l.cmd.StdinPipe()
	}
	if err == nil {
		err = startPinned(l.cmd, b.layout.Load)
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("bench: start the load: %w", err)
	}
	l.input, l.output = json.NewEncoder(l.stdin), json.NewDecoder(stdout)
	if err := l.input.Encode(a); err != nil {
		return l, l.failure(err)
	}
	return l, nil
}

// take lets the load have a turn, and waits for its end.
func (l *turnedLoad) take(next turn) error {
	var done turn
	if err := errors.Join(l.input.Encode(next), l.output.Decode(&done)); err != nil {
		return l.failure(err)
	}
	return nil
}

// finish ends the load, and reads its measurement.
func (l *turnedLoad) finish() (measurement, error) {
	var m measurement
	if err := errors.Join(l.stdin.Close(), l.output.Decode(&m)); err != nil {
		return nil, l.failure(err)
	}
	return m, nil
}

// failure is why the load has not done what it was told to; it has ended, or does so now.
func (l *turnedLoad) failure(err error) error {
	l.stop()
	return fmt.Errorf("bench: load: %w: %s", err, strings.TrimSpace(l.complaint.String()))
}

// stop ends the load, whatever it does.
func (l *turnedLoad) stop() {
	if l.waited {
		return
	}
	l.waited = true
	l.stdin.Close()
	l.cancel()
	_ = l.cmd.Wait()
}
