package splice

import (
	"errors"
	"syscall"
)

// The two halves of a session, and its two sides: half client reads from the client, half server from the server.
const (
	client = iota
	server
)

// mustReset tells whether a side is closed with RST: when the other side broke, and when the client might take a close
// for the orderly end of what it was reading. A server gets a FIN where it can: FEs log a stack trace for a reset.
func mustReset(side int, end End, quiet bool) bool {
	switch end {
	case ClientReset, ClientDead:
		return side == server
	case ServerReset, ServerDead, LingerTimeout, Unproven, Drained, Killed, BackendDown:
		return side == client
	case IdleTimeout:
		return side == client && !quiet
	}
	return false
}

// broken is the end of a session in which a system call on that side's socket failed.
func broken(side int, err error) End {
	var errno syscall.Errno
	errors.As(err, &errno)
	switch errno {
	case syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN:
		return ClientDead + End(side)
	}
	return ClientReset + End(side)
}
