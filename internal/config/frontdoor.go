package config

import (
	"fmt"
	"slices"

	"fairlead/balancer"
	"fairlead/internal/proxywire"
)

// decodeGate reads who may come in.
func decodeGate(s *section, c balancer.GateConfig) balancer.GateConfig {
	c.Allow = s.networks("allow")
	c.Deny = s.networks("deny")
	c.MaxSessionsPerSource = s.number("max_sessions_per_source", c.MaxSessionsPerSource)
	c.Rate = s.number("rate", c.Rate)
	c.RateBurst = s.number("rate_burst", c.RateBurst)
	c.RatePerSource = s.number("rate_per_source", c.RatePerSource)
	c.RatePerSourceBurst = s.number("rate_per_source_burst", c.RatePerSourceBurst)
	return c
}

// decodeProxy reads which proxies may announce clients.
func decodeProxy(s *section, c balancer.ProxyConfig) balancer.ProxyConfig {
	c.Accept = s.networks("accept_proxy")
	c.Timeout = s.duration("proxy_timeout", c.Timeout)
	c.FromOthers = balancer.FromOthers(s.text("proxy_from_others", string(c.FromOthers)))
	return c
}

// decodeSniff reads [listener.sniff].
func decodeSniff(s *section, c balancer.SniffConfig) balancer.SniffConfig {
	c.Wait = s.duration("wait", c.Wait)
	c.Timeout = s.duration("timeout", c.Timeout)
	for _, r := range s.tables("route") {
		c.Routes = append(c.Routes, balancer.SniffRoute{Protocol: r.required("protocol"), Pool: r.required("pool"),
			SNI: r.words("sni"), ALPN: r.words("alpn"), Host: r.words("host")})
	}
	return c
}

// servesMySQL tells whether a listener can have clients that log in.
func servesMySQL(c balancer.ListenerConfig, protocols map[string]balancer.Protocol) bool {
	return protocols[c.Pool] != balancer.TCP || slices.ContainsFunc(c.Sniff.Routes, func(r balancer.SniffRoute) bool {
		return protocols[r.Pool] != balancer.TCP
	})
}

// sniffUses notes the pools that a listener's routes by protocol use; it reports false when one of them may have meant any
// pool.
func (d *document) sniffUses(used map[string]bool, path string, c balancer.SniffConfig) bool {
	for i, r := range c.Routes {
		if r.Pool == "" || d.isBlamed(fmt.Sprintf("%s.sniff.route[%d].pool", path, i)) {
			return false
		}
		used[r.Pool] = true
	}
	return !d.blamed[path+".sniff"] && !d.blamed[path+".sniff.route"]
}

// announced is the version of the PROXY header that a pool's probes send. What is none is reported at the pool's own key.
func announced(p balancer.PoolConfig) string {
	if p.SendProxy == proxywire.V1 || p.SendProxy == proxywire.V2 {
		return p.SendProxy
	}
	return ""
}
