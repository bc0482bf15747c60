package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

const (
	// atOnce bounds the probes under way at one time: descriptors are few in a shell.
	atOnce = 32
	// lookupTimeout bounds the look-up of one name: two tries of the usual resolver.
	lookupTimeout = 10 * time.Second
)

// Finding is what one probe of one backend found. Durations are in nanoseconds.
type Finding struct {
	Pool    string `json:"pool,omitempty"`
	Backend string `json:"backend"`
	// Address is the one that answered, or the first one tried; the zero AddrPort when there was none to try.
	Address netip.AddrPort `json:"address"`
	State   probe.Verdict  `json:"state"`
	Version string         `json:"version,omitempty"`
	// Role is from the configuration, or, where that says nothing, from the cluster, or else from the backend itself.
	// RoleFrom tells which; it is empty while the role is unknown.
	Role         balancer.Role       `json:"role,omitempty"`
	RoleFrom     balancer.RoleSource `json:"role_from,omitempty"`
	ConnectionID uint32              `json:"connection_id,omitempty"`
	Connect      time.Duration       `json:"connect"`
	Greeting     time.Duration       `json:"greeting"`
	Total        time.Duration       `json:"total"`
	Reason       string              `json:"reason,omitempty"`
	// Misconfigured is set when the probe itself is not set up right, such as a password that the backend denies.
	Misconfigured bool `json:"misconfigured,omitempty"`
}

// Good tells whether nothing is wrong. A backend that is leaving is as it says it is.
func (f Finding) Good() bool {
	return !f.Misconfigured && (f.State == probe.Fit || f.State == probe.Leaving)
}

// Summary says in one line that a file is right.
func Summary(f *config.File) string {
	backends := 0
	for _, p := range f.Balancer.Pools {
		backends += len(p.Backends)
	}
	return fmt.Sprintf("%s is right: %s, %s, %s", f.Name, terminal.Plural(len(f.Balancer.Listeners), "listener"),
		terminal.Plural(len(f.Balancer.Pools), "pool"), terminal.Plural(backends, "backend"))
}

// Backends probes each backend of a file once, and gives the findings in the order of the file. A name to be expanded
// gives one for each of its addresses; what discovery finds comes after what is configured.
func Backends(ctx context.Context, f *config.File) []Finding {
	all := make([][]Finding, len(f.Balancer.Pools))
	places := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, pool := range f.Balancer.Pools {
		running.Go(func() { all[i] = poolOf(ctx, f, pool, places) })
	}
	running.Wait()
	return slices.Concat(all...)
}

// poolOf probes the backends of one pool, as many at a time as there are places.
func poolOf(ctx context.Context, f *config.File, pool balancer.PoolConfig, places chan struct{}) []Finding {
	backends := slices.Clone(pool.Backends)
	roles := make([]balancer.Role, len(backends)) // that the cluster tells
	var failed []Finding
	if f.Discoveries[pool.Name].Type == config.StarRocks {
		found := discover(ctx, f, pool)
		for _, m := range found.Members {
			at := slices.IndexFunc(pool.Backends, func(b balancer.BackendConfig) bool { return b.Address == m.Configured })
			if at < 0 {
				backends, roles = append(backends, balancer.BackendConfig{Address: m.Address}), append(roles, m.listed)
				continue
			}
			roles[at] = m.listed
		}
		if !found.Good() {
			failed = []Finding{{Pool: pool.Name, Backend: "(discovery)", State: probe.Unfit, Reason: strings.Join(found.Reasons, "; ")}}
		}
	}
	all := make([][]Finding, len(backends))
	var running sync.WaitGroup
	for i, b := range backends {
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			all[i] = backend(ctx, pool.Name, b, roles[i], f.Probes[pool.Name])
		})
	}
	running.Wait()
	return append(slices.Concat(all...), failed...)
}

// backend probes what one [[pool.backend]] stands for. listed is the role that the cluster tells.
func backend(ctx context.Context, pool string, b balancer.BackendConfig, listed balancer.Role, c probe.Config) []Finding {
	name := b.Name
	if name == "" {
		name = b.Address
	}
	if b.HTTP != "" {
		c.HTTP = b.HTTP
	}
	host, addresses, err := resolve(ctx, b.Address)
	if err != nil {
		found := Finding{Pool: pool, Backend: name, State: probe.Unfit, Reason: "resolve: " + err.Error()}
		return []Finding{found.as(balancer.Role(b.Role), listed, "", false)}
	}
	targets := []probe.Target{{Pool: pool, Name: name, Host: host, Addresses: constant(addresses...)}}
	if b.Expand {
		targets = nil
		for _, a := range addresses {
			targets = append(targets, probe.Target{Pool: pool, Name: a.String(), Host: a.Addr().String(), Addresses: constant(a)})
		}
	}
	var found []Finding
	for _, target := range targets {
		found = append(found, once(ctx, target, c, balancer.Role(b.Role), listed))
	}
	return found
}

// as gives a finding the role of the one who knows best.
func (f Finding) as(configured, listed, probed balancer.Role, known bool) Finding {
	switch {
	case configured != "":
		f.Role, f.RoleFrom = configured, balancer.RoleFromFile
	case listed != "":
		f.Role, f.RoleFrom = listed, balancer.RoleFromDiscovery
	case known:
		f.Role, f.RoleFrom = probed, balancer.RoleFromProbe
	}
	return f
}

// Address probes one host:port. Errors: *AddressError, or that of a name that does not resolve.
func Address(ctx context.Context, address string, c probe.Config) (Finding, error) {
	host, addresses, err := resolve(ctx, address)
	if err != nil {
		return Finding{}, err
	}
	return once(ctx, probe.Target{Name: address, Host: host, Addresses: constant(addresses...)}, c, "", ""), nil
}

func constant(addresses ...netip.AddrPort) func() []netip.AddrPort {
	return func() []netip.AddrPort { return addresses }
}

func once(ctx context.Context, target probe.Target, c probe.Config, configured, listed balancer.Role) Finding {
	r := probe.Once(ctx, c, target)
	f := Finding{Pool: target.Pool, Backend: target.Name, Address: r.Address, State: r.Verdict, Version: r.Version,
		ConnectionID: r.ConnectionID, Connect: r.Connect, Greeting: r.Greeting, Total: r.Total, Reason: r.Reason}
	f = f.as(configured, listed, balancer.Role(r.Role), r.RoleKnown)
	if r.ConfigError != "" {
		f.Misconfigured, f.Reason = true, r.ConfigError
	}
	return f
}

// AddressError is a text that is no host:port.
type AddressError struct{ Address, Problem string }

// Error says what is wrong with it.
func (e *AddressError) Error() string { return fmt.Sprintf("address %q: %s", e.Address, e.Problem) }

// resolve finds the addresses of host:port.
func resolve(ctx context.Context, address string) (host string, addresses []netip.AddrPort, err error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", nil, &AddressError{address, "it must be host:port, such as 10.0.0.1:9030 or [fd00::1]:9030"}
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 {
		return "", nil, &AddressError{address, "the port must be a number from 1 to 65535"}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", nil, err
	}
	for _, a := range found {
		addresses = append(addresses, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare) // as the balancer does
	return host, slices.Compact(addresses), nil
}
