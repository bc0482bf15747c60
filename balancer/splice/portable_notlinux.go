//go:build !linux

package splice

import (
	"net"
	"syscall"
)

// freeBind does nothing where there is no IP_FREEBIND: the address must be there.
func freeBind(string, string, syscall.RawConn) error { return nil }

// disconnected can't be told here. Package net splices only on Linux, and elsewhere says itself where an error came from.
func disconnected(*net.TCPConn) bool { return false }

func pendingError(*net.TCPConn) error { return nil }
