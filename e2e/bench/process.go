//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopGrace is how long a process has to end after SIGTERM. nginx and MariaDB need some 100 ms.
const stopGrace = 10 * time.Second

// process is a child that runs until stop. Whoever starts one stops it.
type process struct {
	cmd   *exec.Cmd
	log   string // the file that holds what it printed
	ended chan struct{}
	err   error // how it ended; valid after ended is closed
}

// startProcess runs argv on the processors given, with its output in a file of dir. The child gets a process
// group of its own, so that stop reaches its workers too, and SIGTERM should this program die.
func startProcess(name, dir string, processors []int, argv []string) (*process, error) {
	output, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer output.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := startPinned(cmd, processors); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", name, err)
	}
	p := &process{cmd: cmd, log: output.Name(), ended: make(chan struct{})}
	go p.reap()
	return p, nil
}

// reap waits for the process; stop waits for reap.
func (p *process) reap() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

var errEndedEarly = errors.New("bench: the process ended by itself")

// earlyEnd tells why the process is no longer there, with the last of what it printed.
func (p *process) earlyEnd() error {
	text, _ := os.ReadFile(p.log)
	const shown = 2000
	if len(text) > shown {
		text = text[len(text)-shown:]
	}
	return fmt.Errorf("%w (%v): %s", errEndedEarly, p.err, bytes.TrimSpace(text))
}

// stop ends the process and its group, and returns when it is gone.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	patience := time.NewTimer(stopGrace)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
		syscall.Kill(-p.pid(), syscall.SIGKILL) // not reaped yet, so the group is still its own
		<-p.ended
	}
}
