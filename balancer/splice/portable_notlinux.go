//go:build !linux

package splice

import (
	"net"
	"syscall"
)

// freeBind does nothing where there is no IP_FREEBIND: the address must be there.
func freeBind(string, string, syscall.RawConn) error { return nil }

// disconnected is asked only where package net splices, which is on Linux.
func disconnected(*net.TCPConn) bool { return true }
