//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"fairlead/internal/mysqlwire"
)

// hang ends what waits for something that does not come.
const hang = 3 * time.Minute

// logIn makes a session from a source address; the zero one leaves that to the kernel.
func logIn(to netip.AddrPort, from netip.Addr) (net.Conn, error) {
	dialer := net.Dialer{Timeout: hang}
	if from.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	c, err := dialer.Dial("tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	c.SetDeadline(time.Now().Add(hang))
	if err = exchange(c, nil); err == nil {
		err = exchange(c, loginPacket)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("scale: login: %w", err)
	}
	return c, nil
}

// ping asks a session's server something.
func ping(c net.Conn) error {
	c.SetDeadline(time.Now().Add(hang))
	if err := exchange(c, pingPacket); err != nil {
		return fmt.Errorf("scale: ping: %w", err)
	}
	return nil
}

// exchange sends a packet, unless it is nil, and reads one.
func exchange(c net.Conn, b []byte) error {
	if b != nil {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	var buffer [256]byte
	if _, err := readPacket(c, buffer[:]); err != nil {
		return err
	}
	if b != nil && buffer[mysqlwire.HeaderLen] != 0 {
		return fmt.Errorf("refused: %q", buffer[mysqlwire.HeaderLen:])
	}
	return nil
}
