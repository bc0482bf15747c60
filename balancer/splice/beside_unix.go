//go:build unix

package splice

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// shareAddress lets another listening socket of this user have an address that overlaps one's own, or ends that
// (SO_REUSEPORT, socket(7)): both must want it.
func shareAddress(raw syscall.RawConn, on bool) error {
	value := 0
	if on {
		value = 1
	}
	var err error
	if failed := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, value) }); failed != nil {
		return failed
	}
	return err
}
