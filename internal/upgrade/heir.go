package upgrade

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// variable tells a process by which descriptor its line has come.
	variable = "FAIRLEAD_UPGRADE"
	// lineDescriptor is that descriptor: the first after standard error.
	lineDescriptor = 3
)

// Start is what a new process is started with.
type Start struct {
	// Program is the file, Arguments begin with the program's name, Environment is as os.Environ gives it.
	Program                string
	Arguments, Environment []string
	// Offer is what it is told first, and Sockets come with that.
	Offer   Message
	Sockets []syscall.Conn
}

// Heir is a process that takes this one's place.
type Heir struct {
	*Line
	PID   int
	Build string
	// Uses are the sockets that it has taken.
	Uses []Socket

	cmd    *exec.Cmd
	exited chan struct{}
}

// Begin starts a process, and returns when it serves. With an error it has ended: it could not be started, it said why it
// can't serve, it ended without a word, or ctx ended before.
func Begin(ctx context.Context, s Start) (*Heir, error) {
	line, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	h := &Heir{Line: line, exited: make(chan struct{})}
	h.cmd = &exec.Cmd{Path: s.Program, Args: s.Arguments, Env: append(without(s.Environment, variable), variable+"="+strconv.Itoa(lineDescriptor)),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs}}
	if err := h.cmd.Start(); err != nil {
		line.Close()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	theirs.Close() // so that the line ends with the process
	h.PID = h.cmd.Process.Pid
	go func() {
		defer close(h.exited)
		_ = h.cmd.Wait() // the status is in ProcessState
	}()
	if err := h.negotiate(ctx, s); err != nil {
		h.Kill()
		return nil, err
	}
	return h, nil
}

// negotiate offers, and waits for the answer.
func (h *Heir) negotiate(ctx context.Context, s Start) error {
	paused := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { h.Pause(); close(paused) })
	defer func() {
		if !stop() {
			<-paused
		}
		h.Unpause()
	}()
	s.Offer.Kind, s.Offer.PID = Offer, os.Getpid()
	if err := h.Send(s.Offer, s.Sockets...); err != nil {
		return h.silent(ctx, s.Program, err)
	}
	for {
		m, _, err := h.Receive(time.Time{})
		switch {
		case err != nil:
			return h.silent(ctx, s.Program, err)
		case m.Kind == Failed:
			return fmt.Errorf("upgrade: the new process can't serve: %s", m.Error)
		case m.Kind == Serving:
			h.Build, h.Uses = m.Build, m.Sockets
			return nil
		}
	}
}

// silent says why there is no answer.
func (h *Heir) silent(ctx context.Context, program string, err error) error {
	switch {
	case errors.Is(err, ErrProtocol):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("upgrade: the new process (%s) did not serve in time, and is ended", program)
	case !Gone(err):
		return err
	}
	select {
	case <-h.exited:
		return fmt.Errorf("upgrade: the new process (%s) ended without a word: %s", program, h.cmd.ProcessState)
	case <-ctx.Done():
	case <-time.After(aMessage):
	}
	return fmt.Errorf("upgrade: the new process (%s) does not know what an upgrade is: is it a fairlead?", program)
}

// Kill ends the process, and waits for that.
func (h *Heir) Kill() {
	_ = h.cmd.Process.Kill() // it may have ended
	<-h.exited
	h.Line.Close()
}

// Exited is closed when the process has ended, and its status is taken.
func (h *Heir) Exited() <-chan struct{} { return h.exited }

// Status is how the process has ended. It must have.
func (h *Heir) Status() *os.ProcessState { return h.cmd.ProcessState }

// without is an environment without some variables.
func without(environment []string, names ...string) []string {
	var kept []string
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains(names, name) {
			kept = append(kept, v)
		}
	}
	return kept
}
