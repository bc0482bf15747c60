//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

var errSessionsLost = errors.New("bench: idle sessions were lost")

// logInAndStay carries out load d: a burst of logins, then silence.
func (l *load) logInAndStay() (measurement, error) {
	l.Warmup, l.Duration = 0, patience
	share := func(visitor int) int { // the first ones take what the division leaves
		n := l.Sessions / l.Connections
		if visitor < l.Sessions%l.Connections {
			n++
		}
		return n
	}
	if err := l.visit(true, share); err != nil {
		return nil, err
	}
	defer l.leave()
	m, err := l.rates()
	if err != nil {
		return nil, err
	}
	held := int(l.staying.Load())
	if held != l.Sessions {
		return nil, fmt.Errorf("%w: %d of %d logged in within %v", errSessionsLost, held, l.Sessions, patience)
	}
	m[sessionsHeld] = float64(held)
	if err := l.before.grown(m, memoryAtOnce, l.Processes, held); err != nil {
		return nil, err
	}
	time.Sleep(l.Settle)
	if lost := l.lost(); lost > 0 {
		return nil, fmt.Errorf("%w: %d of %d ended within %v", errSessionsLost, lost, held, l.Settle)
	}
	return m, l.before.grown(m, memorySettled, l.Processes, held)
}

// lost counts the idle sessions that have something to tell: none should.
func (l *load) lost() int {
	n := 0
	for _, p := range l.loops {
		for _, fd := range p.stay {
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if ready, err := unix.Poll(poll, 0); err != nil || ready > 0 {
				n++
			}
		}
	}
	return n
}

// leave ends all idle sessions.
func (l *load) leave() {
	for _, p := range l.loops {
		for _, fd := range p.stay {
			unix.Close(fd)
		}
	}
}
