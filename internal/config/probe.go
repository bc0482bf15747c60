package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"fairlead/balancer"
	"fairlead/internal/spelling"
	"fairlead/probe"
)

// decodeProbe reads [pool.probe].
func decodeProbe(s *section, c probe.Config, pool balancer.PoolConfig) probe.Config {
	c.Type = s.choice("type", c.Type, probe.TypeMySQL, probe.TypeTCP, probe.TypeHTTP)
	if pool.Protocol == balancer.TCP && !s.has("type") {
		c.Type = probe.TypeTCP
	}
	c.Interval = s.duration("interval", c.Interval)
	fast := s.duration("fast_interval", c.FastInterval)
	c.Timeout = s.duration("timeout", c.Timeout)
	c.Rise = s.number("rise", c.Rise)
	c.Fall = s.number("fall", c.Fall)
	c.HTTP = s.url("http", c.HTTP)
	c.HTTPUser = s.text("http_user", c.HTTPUser)
	c.HTTPPasswordFile = s.file("http_password_file")
	c.Bootstrap = s.flag("bootstrap", c.Bootstrap)
	c.LeaderFromMetrics = s.flag("leader_from_metrics", c.LeaderFromMetrics)
	c.User = s.text("user", c.User)
	c.PasswordFile = s.file("password_file")
	c.Query = s.text("query", c.Query)
	c.Expect = s.optionalText("expect")
	c.TLS = s.tls("tls", c.TLS)
	c.SendProxy = announced(pool)
	c.Source = s.sourceAddress("source")
	if !s.has("source") || s.values["source"] == "" {
		c.Source = pool.Source
	}
	if c.Interval >= shortest && !s.has("fast_interval") {
		fast = min(fast, c.Interval) // a shorter interval alone is no mistake
	}
	c.FastInterval = fast
	s.probeRanges(c)
	s.probeHTTP(c, pool.Backends)
	s.probeLogin(c)
	return c
}

func (s *section) probeRanges(c probe.Config) {
	s.between("interval", c.Interval, shortest, longest)
	s.between("fast_interval", c.FastInterval, shortest, longest)
	if c.FastInterval > c.Interval && c.Interval >= shortest {
		s.problem("fast_interval", fmt.Sprintf("fast_interval is %s, longer than interval, %s", plain(c.FastInterval), plain(c.Interval)),
			"fast_interval is for probes that are in a hurry")
	}
	s.between("timeout", c.Timeout, shortest, longest)
	for key, n := range map[string]int{"rise": c.Rise, "fall": c.Fall} {
		if n < 1 || n > 1000 {
			s.problem(key, fmt.Sprintf("%s must be from 1 to 1000, not %d", key, n), "")
		}
	}
}

// probeHTTP checks what belongs to the probe over HTTP. Backends may have URLs of their own.
func (s *section) probeHTTP(c probe.Config, backends []balancer.BackendConfig) {
	without := func(b balancer.BackendConfig) bool { return b.HTTP == "" }
	if c.HTTP == "" && c.Type == probe.TypeHTTP && (len(backends) == 0 || slices.ContainsFunc(backends, without)) {
		s.problem("http", `type "http" needs a URL to ask for`, `add http = "http://{host}:8030/api/health"`)
	}
	if c.HTTP == "" && !slices.ContainsFunc(backends, func(b balancer.BackendConfig) bool { return !without(b) }) {
		for _, key := range []string{"http_user", "http_password_file", "bootstrap", "leader_from_metrics"} {
			if v := s.values[key]; v != nil && v != "" && v != false {
				s.problem(key, key+" has no meaning without http", `add http = "http://{host}:8030/api/health"`)
			}
		}
		return
	}
	if c.HTTPPasswordFile != "" && c.HTTPUser == "" {
		s.problem("http_password_file", "http_password_file needs http_user", `add http_user = "…"`)
	}
}

// url reads the URL of a probe; empty means none.
func (s *section) url(key, byDefault string) string {
	text := s.text(key, byDefault)
	if text == "" {
		return ""
	}
	if wrong := checkURL(text); wrong.message != "" {
		s.problem(key, wrong.message, wrong.suggestion)
	}
	return text
}

// checkURL checks the URL of a probe, in which {host} stands for the backend's host.
func checkURL(text string) fault {
	example := `write such as "http://{host}:8030/api/health"`
	filled := strings.ReplaceAll(text, "{host}", "host")
	if i := strings.IndexAny(filled, "{}"); i >= 0 {
		return fault{fmt.Sprintf("http: %q holds a brace; the only placeholder is {host}", text), example}
	}
	u, err := url.Parse(filled)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return fault{fmt.Sprintf("http: %q is no URL of http or https", text), example}
	case u.Hostname() == "":
		return fault{fmt.Sprintf("http: %q names no host", text), example}
	case u.User != nil:
		return fault{"http: a URL is no place for a password", "use http_user and http_password_file"}
	}
	return fault{}
}

// probeLogin checks what belongs to a probe that logs in.
func (s *section) probeLogin(c probe.Config) {
	if c.Type != probe.TypeMySQL {
		for _, key := range []string{"user", "password_file", "query", "expect"} {
			if v := s.values[key]; v != nil && v != "" {
				s.problem(key, fmt.Sprintf("%s has no meaning in a probe whose type is %s", key, c.Type), `remove it, or set type = "mysql"`)
			}
		}
	}
	if c.TLS != "" && c.TLS != "false" && c.User == "" && !strings.HasPrefix(c.HTTP, "https:") {
		s.problem("tls", "tls needs user, or an https URL in http: nothing else of a probe is encrypted", `add user = "…"`)
	}
	if c.Type != probe.TypeMySQL {
		return
	}
	if c.Query != "" && c.User == "" {
		s.problem("query", "query needs user: nobody can ask without logging in", `add user = "…"`)
	}
	if c.Expect != nil && c.Query == "" {
		s.problem("expect", "expect needs query", `add query = "select 1"`)
	}
	if c.PasswordFile != "" && c.User == "" {
		s.problem("password_file", "password_file needs user", `add user = "…"`)
	}
}

// optionalText reads a string that may be left out, which differs from an empty one.
func (s *section) optionalText(key string) *string {
	text := s.required(key)
	if !s.has(key) {
		return nil
	}
	return &text
}

// file reads the name of a file.
func (s *section) file(key string) string { return s.doc.resolve(s.text(key, "")) }

// tls reads a word, or else the name of a file.
func (s *section) tls(key, byDefault string) string {
	text := s.text(key, byDefault)
	words := []string{"true", "false", "skip-verify"}
	if text == "" || slices.Contains(words, text) {
		return text
	}
	if near := spelling.Nearest(text, words); near != "" && !strings.ContainsAny(text, "./") {
		s.problem(key, fmt.Sprintf("tls: %q is neither a known word nor the name of a file", text), fmt.Sprintf("did you mean %q?", near))
		return byDefault
	}
	return s.doc.resolve(text)
}
