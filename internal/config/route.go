package config

import (
	"fmt"
	"net/netip"

	"fairlead/balancer"
)

// decodeRoutes reads [[listener.route]].
func decodeRoutes(in *section) []balancer.RouteConfig {
	var routes []balancer.RouteConfig
	for _, s := range in.tables("route") {
		routes = append(routes, balancer.RouteConfig{User: s.words("user"), Database: s.words("database"), Program: s.words("program"),
			Source: s.networks("source"), Pool: s.required("pool")})
	}
	return routes
}

// words reads a string or a list of strings that has no default.
func (s *section) words(key string) []string {
	var words []string
	for _, e := range s.texts(key, nil) {
		words = append(words, e.text)
	}
	return words
}

// networks reads a network or an address, or a list of them.
func (s *section) networks(key string) []netip.Prefix {
	var all []netip.Prefix
	for _, e := range s.texts(key, nil) {
		network, wrong := parseNetwork(e.text)
		if wrong.message != "" {
			s.doc.blame(s.child(key))
			s.doc.at(e.line, key+": "+wrong.message, wrong.suggestion)
			continue
		}
		all = append(all, network)
	}
	return all
}

func parseNetwork(text string) (netip.Prefix, fault) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), fault{}
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fault{fmt.Sprintf("%q is no network", text), `write such as "10.0.0.0/8", "2001:db8::/32" or "10.0.0.1"`}
	case network.Addr().Is4In6():
		return netip.Prefix{}, fault{fmt.Sprintf("%q is a network of IPv4 in the words of IPv6", text), `write such as "10.0.0.0/8"`}
	case network != network.Masked():
		return netip.Prefix{}, fault{fmt.Sprintf("%q is an address within a network", text),
			fmt.Sprintf("write %q for the network, or %q for the address", network.Masked(), network.Addr())}
	}
	return network, fault{}
}

// routesUse notes the pools that a listener's routes use; it reports false when one of them may have meant any pool.
func (d *document) routesUse(used map[string]bool, path string, l balancer.ListenerConfig) bool {
	for i, r := range l.Routes {
		if r.Pool == "" || d.isBlamed(fmt.Sprintf("%s.route[%d].pool", path, i)) {
			return false
		}
		used[r.Pool] = true
	}
	return !d.blamed[path+".route"]
}

// decodeLoginLimits reads what can be limited where logins are read.
func decodeLoginLimits(s *section, c *balancer.ListenerConfig, protocol balancer.Protocol) {
	c.MaxSessionsPerUser = s.number("max_sessions_per_user", c.MaxSessionsPerUser)
	c.MaxSessionsPerDatabase = s.number("max_sessions_per_database", c.MaxSessionsPerDatabase)
	for _, key := range []string{"max_sessions_per_user", "max_sessions_per_database"} {
		if protocol == balancer.TCP && s.has(key) {
			s.problem(key, fmt.Sprintf("%s has no meaning in front of pool %q, whose protocol is tcp: nobody logs in there", key, c.Pool), "remove it")
		}
	}
}
