package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serving is the process of fairlead that serves at present: an upgrade changes it.
type serving struct {
	mu struct {
		sync.Mutex
		pid   int
		ended <-chan struct{}
	}
}

func (s *serving) set(pid int, ended <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pid, s.mu.ended = pid, ended
}

func (s *serving) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.pid
}

// ended is closed when that process has ended.
func (s *serving) ended() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.ended
}

// watchProcess returns what is closed at the end of a process that another one has started.
func watchProcess(pid int) (<-chan struct{}, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
			if n > 0 || err != nil && err != syscall.EINTR {
				return
			}
		}
	}()
	return ended, nil
}

// upgrade replaces the process that serves by a new one, while it goes on with its sessions. In every other one the clock does
// not stand still while they talk to each other.
func upgrade(c *chaos, q cue) error {
	if q.pick%2 == 0 {
		defer c.clock.jumping(rand.New(rand.NewPCG(q.pick, 0)))()
	}
	ctx, cancel := c.patiently()
	defer cancel()
	done, err := c.control.Upgrade(ctx, 45*time.Second)
	if err != nil {
		return err
	}
	ended, err := watchProcess(done.PID)
	if err != nil {
		return fmt.Errorf("the new process has ended: %w", err)
	}
	c.serving.set(done.PID, ended)
	c.forgotten.sessions = 0 // its counters begin anew
	return nil
}

// end asks fairlead to end, once processes from before upgrades have, and wants it to do so in good order.
func (c *chaos) end() {
	c.t.Helper()
	pid := c.serving.pid()
	if err := c.signal(syscall.SIGTERM); err != nil {
		c.t.Error(err)
	}
	select {
	case <-c.serving.ended():
	case <-time.After(chaosPatience):
		c.t.Errorf("process %d does not end", pid)
		return
	}
	if pid == c.ship.cmd.Process.Pid {
		c.ship.exits(0)
		return
	}
	// Its parent has ended, so that it is this process' child now, which is the first one in its namespace.
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WNOHANG, nil); err != nil || status.ExitStatus() != 0 {
		c.t.Errorf("the end of process %d: status %v, %v", pid, status, err)
	}
	if text := c.log(); strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
		c.t.Error("see the log")
	}
}
