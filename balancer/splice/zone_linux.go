package splice

import (
	"net"
	"net/netip"
	"strconv"
)

// zone is the interface number of a link-local address such as fe80::1%eth0; 0 when it has none.
func zone(a netip.Addr) uint32 {
	name := a.Zone()
	if name == "" {
		return 0
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(name); err == nil {
		return uint32(i.Index)
	}
	return 0
}
