package discovery

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"fairlead/balancer"
	"fairlead/probe"
)

// Kin recognises front ends that are configured under another name than they are listed with.
type Kin struct {
	// Lookup finds the addresses of a host name.
	Lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Resolved, unless it is nil, gives the addresses that a configured host:port is known to have; none means that they
	// are looked up.
	Resolved func(configured string) []netip.AddrPort
}

// Configured gives for each front end of a list the address that it is configured with, or an empty text. A name that
// could stand for several of them stands for none, and names with Expand are no single backends. A name that can't be
// looked up is one that is not recognised this time.
func (k Kin) Configured(ctx context.Context, backends []balancer.BackendConfig, list []probe.Frontend) []string {
	listed := map[string]string{} // as they are configured, or empty
	for _, f := range list {
		listed[f.Address()] = ""
	}
	for _, b := range backends {
		if b.Expand {
			continue
		}
		var meant []string
		for _, address := range k.addresses(ctx, b.Address, listed) {
			if _, ok := listed[address]; ok {
				meant = append(meant, address)
			}
		}
		if len(meant) == 1 && listed[meant[0]] == "" {
			listed[meant[0]] = b.Address
		}
	}
	all := make([]string, len(list))
	for i, f := range list {
		all[i] = listed[f.Address()]
	}
	return all
}

// addresses are those by which a configured backend may be listed: as it is configured, else as its name is resolved.
func (k Kin) addresses(ctx context.Context, configured string, listed map[string]string) []string {
	host, port, _ := net.SplitHostPort(configured)
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{net.JoinHostPort(ip.Unmap().String(), port)}
	}
	if _, ok := listed[strings.ToLower(configured)]; ok {
		return []string{strings.ToLower(configured)}
	}
	var all []string
	if k.Resolved != nil {
		for _, address := range k.Resolved(configured) {
			all = append(all, address.String())
		}
	}
	if len(all) > 0 {
		return all
	}
	found, _ := k.Lookup(ctx, "ip", host)
	for _, ip := range found {
		all = append(all, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return all
}
