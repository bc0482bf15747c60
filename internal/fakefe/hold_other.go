//go:build !linux

package fakefe

import (
	"io"
	"net"
)

// hold reserves nothing: elsewhere two sockets can't share a port in the way that hold needs.
func hold(want *net.TCPAddr) (*net.TCPAddr, io.Closer, error) {
	return want, io.NopCloser(nil), nil
}
