//go:build linux

package main

import "net/netip"

// anyPort lets the kernel choose.
var anyPort = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}

// backendAddress is one of the addresses of this host that stand for backends: one server listens for all of them. There
// are 65,000.
func backendAddress(i int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(i / 250), byte(1 + i%250)}), port)
}

// source is one of those that stand for clients.
func source(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 2, byte(i / 250), byte(1 + i%250)})
}
