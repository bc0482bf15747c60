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

// loadProcess is the sub-command "load" at work on an assignment. Whoever starts one stops it.
type loadProcess struct {
	cmd       *exec.Cmd
	cancel    context.CancelFunc
	patience  time.Duration // for a turn, over and above its duration
	stdin     io.WriteCloser
	input     *json.Encoder
	output    *json.Decoder
	complaint strings.Builder
	stopped   bool
}

// assign has an assignment carried out that takes no turns.
func (b *bench) assign(ctx context.Context, a assignment) (measurement, error) {
	a.InTurns = false
	l, err := b.startLoad(ctx, a)
	if err != nil {
		return nil, err
	}
	defer l.stop()
	return l.finish()
}

// startLoad hands an assignment to a load generator: it begins at once, or with its first turn.
func (b *bench) startLoad(ctx context.Context, a assignment) (*loadProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	others := time.Duration(len(b.peers)) * (a.Warmup + 2*a.Duration + b.patience) // whose turns it waits for
	ctx, cancel := context.WithTimeout(ctx, a.Warmup+a.Duration+a.Settle+others+2*b.patience)
	l := &loadProcess{cmd: exec.CommandContext(ctx, self, "load"), cancel: cancel, patience: b.patience}
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
		return nil, l.failure(err)
	}
	return l, nil
}

// take lets the load have a turn, and waits for its end. One that hangs is out, and does not use up the others' time.
func (l *loadProcess) take(next turn) error {
	longest := next.Warmup + next.Duration + l.patience
	hanging := time.AfterFunc(longest, l.cancel)
	var done turn
	err := errors.Join(l.input.Encode(next), l.output.Decode(&done))
	if !hanging.Stop() {
		err = fmt.Errorf("its turn did not end within %v", longest)
	}
	if err != nil {
		return l.failure(err)
	}
	return nil
}

// finish tells the load that no more turns come, and reads its measurement.
func (l *loadProcess) finish() (measurement, error) {
	var m measurement
	if err := errors.Join(l.stdin.Close(), l.output.Decode(&m)); err != nil {
		return nil, l.failure(err)
	}
	return m, nil
}

// failure is why the load has not done what it was told to; it has ended, or does so now.
func (l *loadProcess) failure(err error) error {
	l.stop()
	return fmt.Errorf("bench: load: %w: %s", err, strings.TrimSpace(l.complaint.String()))
}

// stop ends the load, whatever it does.
func (l *loadProcess) stop() {
	if l.stopped {
		return
	}
	l.stopped = true
	l.stdin.Close()
	l.cancel()
	_ = l.cmd.Wait()
}
