//go:build linux

package main

import (
	"fmt"
	"syscall"
)

// each is how many descriptors a session takes in this process, a client's end and a server's, as in fairlead. others are
// for the rest.
const each, others = 2, 1000

// raiseLimit asks for as many descriptors for this process and those that it starts, as far as that is allowed, and tells how
// many sessions they are good for.
func raiseLimit() (sessions int, err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("scale: descriptors: %w", err)
	}
	wanted := max(each*mostSessions+others, limit.Max)
	for _, most := range []uint64{wanted, limit.Max} {
		if err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: most}); err == nil {
			return max(0, int(most)-others) / each, nil
		}
	}
	return 0, fmt.Errorf("scale: descriptors: %w", err)
}
