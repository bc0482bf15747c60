package balancer

import (
	"fmt"
	"net/netip"
)

// gate checks who may come in through a listener.
func (f *faults) gate(at string, c GateConfig) {
	f.networks(at+".allow", c.Allow)
	f.networks(at+".deny", c.Deny)
	for i, n := range c.Allow {
		for j, denied := range c.Deny {
			if denied.Bits() <= n.Bits() && denied.Contains(n.Addr()) {
				f.conflict(fmt.Sprintf("%s.allow[%d]", at, i), fmt.Sprintf("%s.deny[%d]", at, j),
					fmt.Sprintf("allow of %v has no effect: deny has %v, and wins", n, denied), "")
			}
		}
	}
	f.count(at+".max_sessions_per_source", c.MaxSessionsPerSource, 0, most)
	f.rate(at+".rate", c.Rate, c.RateBurst)
	f.rate(at+".rate_per_source", c.RatePerSource, c.RatePerSourceBurst)
}

func (f *faults) rate(path string, perSecond, burst int) {
	f.count(path, perSecond, 0, most)
	f.count(path+"_burst", burst, 0, most)
	if burst > 0 && perSecond == 0 {
		f.add(path+"_burst", key(path)+"_burst has no meaning without "+key(path), "add "+key(path)+", in sessions a second")
	}
}

func (f *faults) networks(path string, networks []netip.Prefix) {
	for i, n := range networks {
		if !n.IsValid() {
			f.add(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s holds what is no network", key(path)), `write such as "10.0.0.0/8"`)
		}
	}
}

// proxy checks who may announce clients.
func (f *faults) proxy(at string, c ProxyConfig) {
	f.networks(at+".accept_proxy", c.Accept)
	switch {
	case len(c.Accept) > 0:
		f.wait(at+".proxy_timeout", c.Timeout)
	case c.FromOthers == RefuseOthers:
		f.add(at+".proxy_from_others", `proxy_from_others = "refuse" without accept_proxy would refuse everyone`, `add accept_proxy = ["10.0.0.0/8"] with the networks of the proxies`)
	}
	oneOf(f, at+".proxy_from_others", c.FromOthers, "", TakePlain, RefuseOthers)
}

// sniff checks which protocols a listener tells apart.
func (f *faults) sniff(c Config, at string, sniff SniffConfig) {
	if len(sniff.Routes) == 0 {
		return
	}
	at += ".sniff"
	f.wait(at+".wait", sniff.Wait)
	f.wait(at+".timeout", sniff.Timeout)
	if sniff.Timeout > 0 && sniff.Timeout < sniff.Wait {
		f.conflict(at+".timeout", at+".wait", fmt.Sprintf("timeout, %v, is shorter than wait, %v", plain(sniff.Timeout), plain(sniff.Wait)),
			"timeout is for clients that began to say something")
	}
	for i, r := range sniff.Routes {
		f.sniffRoute(c, fmt.Sprintf("%s.route[%d]", at, i), r)
	}
}

func (f *faults) sniffRoute(c Config, at string, r SniffRoute) {
	if r.Protocol == "https" {
		f.add(at+".protocol", `unknown protocol "https"`, `it is told by its TLS: write "tls"`)
	} else {
		oneOf(f, at+".protocol", r.Protocol, SniffHTTP, SniffTLS, SniffMySQL)
	}
	f.poolOf(c, at+".pool", "route", r.Pool)
	for _, p := range c.Pools {
		if p.Name == r.Pool && p.Protocol == MySQL && (r.Protocol == SniffHTTP || r.Protocol == SniffTLS) {
			f.add(at+".pool", fmt.Sprintf("%s can't go to pool %q, whose protocol is mysql", r.Protocol, r.Pool), `name a pool with protocol = "tcp"`)
		}
	}
	for _, only := range []struct {
		key, protocol string
		texts         []string
	}{{"sni", SniffTLS, r.SNI}, {"alpn", SniffTLS, r.ALPN}, {"host", SniffHTTP, r.Host}} {
		if len(only.texts) > 0 && r.Protocol != only.protocol && (r.Protocol == SniffHTTP || r.Protocol == SniffTLS || r.Protocol == SniffMySQL) {
			f.add(at+"."+only.key, fmt.Sprintf("%s has no meaning for protocol %q", only.key, r.Protocol), fmt.Sprintf("it is for %q", only.protocol))
		}
	}
	f.globs(at+".sni", r.SNI)
	f.globs(at+".host", r.Host)
}
