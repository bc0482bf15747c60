package discovery

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/probe"
)

// names answer look-ups in place of DNS, each with addresses between spaces.
type names map[string]string

func (n names) lookup(_ context.Context, _, host string) ([]netip.Addr, error) {
	if n[host] == "" {
		return nil, errors.New("no such host")
	}
	var all []netip.Addr
	for _, a := range strings.Fields(n[host]) {
		all = append(all, netip.MustParseAddr(a))
	}
	return all, nil
}

func TestConfigured(t *testing.T) {
	dns := names{"fe2.example": "10.0.0.2 2001:db8::2", "fe3.example": "10.0.0.3", "all.example": "10.0.0.1 10.0.0.2 10.0.0.4"}
	for name, c := range map[string]struct {
		configured, listed, want string // each host:port between spaces; "+" is expand, "-" is not configured
	}{
		"addresses":               {"10.0.0.1:9030", "10.0.0.1:9030 10.0.0.2:9030", "10.0.0.1:9030 -"},
		"as configured":           {"[2001:DB8::1]:9030 FE1.example:9030", "[2001:db8::1]:9030 fe1.example:9030", "[2001:DB8::1]:9030 FE1.example:9030"},
		"by address":              {"fe2.example:9030", "10.0.0.1:9030 10.0.0.2:9030", "- fe2.example:9030"},
		"another port":            {"fe2.example:9031", "10.0.0.2:9030", "-"},
		"by IPv6":                 {"fe2.example:9030", "[2001:db8::2]:9030", "fe2.example:9030"},
		"listed by name":          {"fe3.example:9030", "fe3.example:9030 10.0.0.3:9030", "fe3.example:9030 -"},
		"a name for all of them":  {"all.example:9030", "10.0.0.1:9030 10.0.0.2:9030", "- -"},
		"two names for one":       {"fe2.example:9030 all.example:9030", "10.0.0.2:9030", "fe2.example:9030"},
		"a name that is expanded": {"+fe2.example:9030", "10.0.0.2:9030", "-"},
		"no such name":            {"gone.example:9030", "10.0.0.2:9030", "-"},
		"known to be resolved":    {"known.example:9030", "10.0.0.2:9030 10.0.0.7:9030", "- known.example:9030"},
	} {
		var backends []balancer.BackendConfig
		for _, address := range strings.Fields(c.configured) {
			backends = append(backends, balancer.BackendConfig{Address: strings.TrimPrefix(address, "+"), Expand: strings.HasPrefix(address, "+")})
		}
		var list []probe.Frontend
		for _, address := range strings.Fields(c.listed) {
			at := strings.LastIndexByte(address, ':')
			list = append(list, probe.Frontend{Host: strings.Trim(address[:at], "[]"), QueryPort: 9030})
		}
		kin := Kin{Lookup: dns.lookup, Resolved: func(configured string) []netip.AddrPort {
			if configured == "known.example:9030" {
				return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.7:9030")}
			}
			return nil
		}}
		var got []string
		for _, configured := range kin.Configured(t.Context(), backends, list) {
			if configured == "" {
				configured = "-"
			}
			got = append(got, configured)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
