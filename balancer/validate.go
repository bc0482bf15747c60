package balancer

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fairlead/internal/spelling"
)

// FieldError is one thing that is wrong in a Config.
type FieldError struct {
	// Path is the place in the words of the configuration file, counted from 0, such as
	// "pool[0].backend[1].weight".
	Path string
	// Other is the place that Path is in conflict with; empty when there is none.
	Other string
	// Message says what is wrong, Suggestion what to write instead; Suggestion may be empty.
	Message, Suggestion string
}

// Error gives place, message and suggestion in one line.
func (e FieldError) Error() string {
	text := e.Path + ": " + e.Message
	if e.Suggestion != "" {
		text += ": " + e.Suggestion
	}
	return text
}

// ConfigError is everything that Validate found wrong.
type ConfigError []FieldError

// Error gives one line for each fault.
func (e ConfigError) Error() string {
	lines := make([]string, len(e))
	for i, f := range e {
		lines[i] = "balancer: invalid configuration: " + f.Error()
	}
	return strings.Join(lines, "\n")
}

// Validate tells whether a Balancer can serve c. The error is a ConfigError with every fault, not only the
// first. It looks at nothing outside c: no name is resolved, no port tried.
func (c Config) Validate() error {
	var f faults
	f.engine(c.Engine)
	for i, l := range c.Listeners {
		f.listener(c, i, l)
	}
	f.binds(c)
	for i, p := range c.Pools {
		f.pool(c, i, p)
	}
	if len(f.found) == 0 {
		return nil
	}
	return f.found
}

// faults collects what is wrong.
type faults struct{ found ConfigError }

func (f *faults) add(path, message, suggestion string) {
	f.found = append(f.found, FieldError{Path: path, Message: message, Suggestion: suggestion})
}

func (f *faults) conflict(path, other, message, suggestion string) {
	f.found = append(f.found, FieldError{Path: path, Other: other, Message: message, Suggestion: suggestion})
}

// Limits that several fields share.
const (
	// shortest is what still makes sense as a time-out: less would fail on the machine's own scheduling.
	shortest = time.Millisecond
	// longest keeps sums of durations far from an overflow; nobody means to wait for more than a year.
	longest = 365 * 24 * time.Hour
	// longestKeepalive is the kernel's MAX_TCP_KEEPIDLE.
	longestKeepalive = 32767 * time.Second
	// most bounds every count: more than any machine has descriptors for.
	most = 10_000_000
)

func (f *faults) count(path string, v, low, high int) {
	if v < low || v > high {
		f.add(path, fmt.Sprintf("%s must be from %d to %d, not %d", key(path), low, high, v), "")
	}
}

// wait checks a duration that must end.
func (f *faults) wait(path string, v time.Duration) {
	if v == 0 {
		f.add(path, key(path)+" must not be 0", "write how long to wait at most, such as \"2s\"")
		return
	}
	f.between(path, v, shortest, longest)
}

// optional checks a duration whose 0 means "never" or "off".
func (f *faults) optional(path string, v time.Duration) {
	if v != 0 {
		f.between(path, v, shortest, longest)
	}
}

func (f *faults) keepalive(path string, v time.Duration) {
	if v != 0 {
		f.between(path, v, time.Second, longestKeepalive)
	}
}

func (f *faults) between(path string, v, low, high time.Duration) {
	switch {
	case v < 0:
		f.add(path, fmt.Sprintf("%s must not be negative, it is %v", key(path), plain(v)), "")
	case v < low:
		f.add(path, fmt.Sprintf("%s must be at least %v, not %v", key(path), plain(low), plain(v)), "")
	case v > high:
		f.add(path, fmt.Sprintf("%s must be at most %v, not %v", key(path), plain(high), plain(v)), "")
	}
}

// plain writes a duration as people do: 10h, not 10h0m0s.
func plain(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func oneOf[T ~string](f *faults, path string, v T, known ...T) {
	words := make([]string, len(known))
	for i, k := range known {
		if v == k {
			return
		}
		words[i] = string(k)
	}
	suggestion := "known: " + strings.TrimPrefix(strings.Join(words, ", "), ", ")
	if near := spelling.Nearest(string(v), words); near != "" {
		suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	f.add(path, fmt.Sprintf("unknown %s %q", key(path), string(v)), suggestion)
}

// name checks a name that people type and that becomes a label of metrics. It reports whether v is one.
func (f *faults) name(path, v string) bool {
	switch {
	case v == "":
		f.add(path, "the name is missing", `add name = "…"`)
	case len(v) > 128:
		f.add(path, fmt.Sprintf("the name has %d bytes, at most 128 are allowed", len(v)), "")
	case strings.ContainsFunc(v, func(r rune) bool {
		return r == '/' || r == unicode.ReplacementChar || !unicode.IsPrint(r) || unicode.IsSpace(r)
	}):
		f.add(path, fmt.Sprintf("the name %q holds a space, a slash or an unprintable character", v), "")
	default:
		return true
	}
	return false
}

func (f *faults) engine(c EngineConfig) {
	oneOf(f, "engine.kind", c.Kind, "auto", "loops", "goroutines")
	f.count("engine.loops", c.Loops, 0, 1024)
	f.count("engine.pipes", c.Pipes, 0, 65536)
	// The kernel rounds up to a page and keeps the size in 31 bits.
	f.count("engine.pipe_size", c.PipeSize, 4096, 1<<30)
}

func (f *faults) listener(c Config, i int, l ListenerConfig) {
	at := fmt.Sprintf("listener[%d]", i)
	if f.name(at+".name", l.Name) {
		for j, other := range c.Listeners[:i] {
			if other.Name == l.Name {
				f.conflict(at+".name", fmt.Sprintf("listener[%d].name", j),
					fmt.Sprintf("a second listener is named %q", l.Name), "names must differ")
				break
			}
		}
	}
	if len(l.Bind) == 0 {
		f.add(at+".bind", "the listener has no address to listen on", `add bind = "127.0.0.1:9030"`)
	}
	f.poolOf(c, at+".pool", "listener", l.Pool)
	f.roles(c, at, l)
	f.routes(c, at, l)
	f.gate(at, l.Gate)
	f.proxy(at, l.Proxy)
	f.sniff(c, at, l.Sniff)
	f.count(at+".max_sessions_per_user", l.MaxSessionsPerUser, 0, most)
	f.count(at+".max_sessions_per_database", l.MaxSessionsPerDatabase, 0, most)
	f.optional(at+".login_timeout", l.LoginTimeout)
	f.keepalive(at+".keepalive", l.Keepalive)
	f.count(at+".max_sessions", l.MaxSessions, 0, most)
	f.count(at+".backlog", l.Backlog, 1, 1<<20)
}

// roles checks that there can be backends with the roles that a listener asks for.
func (f *faults) roles(c Config, at string, l ListenerConfig) {
	if l.RolesFallback && len(l.Roles) == 0 {
		f.add(at+".roles_fallback", "roles_fallback without roles has no meaning", `add roles = ["observer", "follower"], or remove it`)
	}
	for k, role := range l.Roles {
		if newRoleSet(role) == 0 {
			oneOf(f, fmt.Sprintf("%s.roles[%d]", at, k), string(role), string(Leader), string(Follower), string(Observer))
			continue
		}
		for _, p := range c.Pools {
			if p.Name == l.Pool && !p.LearnsRoles && !slices.ContainsFunc(p.Backends, func(b BackendConfig) bool { return b.Role == string(role) }) {
				f.add(fmt.Sprintf("%s.roles[%d]", at, k), fmt.Sprintf("no backend of pool %q can have the role %q", p.Name, role),
					`give backends a role, add [pool.discovery] with type = "starrocks", or leader_from_metrics to [pool.probe]`)
			}
		}
	}
}

// poolOf checks a reference to a pool by a listener or a route. As long as a pool lacks its name nobody can tell which one was meant.
func (f *faults) poolOf(c Config, path, owner, name string) {
	if name == "" {
		f.add(path, "the "+owner+" names no pool", `add pool = "…"`)
		return
	}
	names := make([]string, len(c.Pools))
	for i, p := range c.Pools {
		if p.Name == name || p.Name == "" {
			return
		}
		names[i] = p.Name
	}
	suggestion := "add a [[pool]] with that name"
	if near := spelling.Nearest(name, names); near != "" {
		suggestion = fmt.Sprintf("did you mean %q?", near)
	} else if len(names) > 0 {
		suggestion = "pools are: " + strings.Join(names, ", ")
	}
	f.add(path, fmt.Sprintf("no pool is named %q", name), suggestion)
}

// binds looks for two addresses that can't both be listened on.
func (f *faults) binds(c Config) {
	type place struct {
		path, listener string
		addr           netip.AddrPort
	}
	var seen []place
	for i, l := range c.Listeners {
		for j, addr := range l.Bind {
			here := place{fmt.Sprintf("listener[%d].bind[%d]", i, j), l.Name, addr}
			for _, there := range seen {
				if Overlap(addr, there.addr) {
					f.conflict(here.path, there.path,
						fmt.Sprintf("%v overlaps %v of listener %q", addr, there.addr, there.listener),
						"an address can be listened on once")
					break
				}
			}
			seen = append(seen, here)
		}
	}
}

// Overlap tells whether a and b can't both be listened on: the same port on the same address, or on all
// addresses. [::] covers IPv4 too; port 0, which the kernel chooses, overlaps nothing.
func Overlap(a, b netip.AddrPort) bool {
	covers := func(a, b netip.Addr) bool {
		return a == b || a.IsUnspecified() && (a.Is6() || b.Is4())
	}
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && a.Port() != 0 && (covers(x, y) || covers(y, x))
}

// key is the last word of a path, as it stands in the file.
func key(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}

// splitAddress takes host:port apart; what is wrong with it comes back as message and suggestion.
func splitAddress(address string) (host string, port int, message, suggestion string) {
	bad := func(why, instead string) (string, int, string, string) {
		return "", 0, fmt.Sprintf("the address %q %s", address, why), instead
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		return bad("has no port", fmt.Sprintf("write %q", netip.AddrPortFrom(ip, 9030)))
	}
	host, service, err := net.SplitHostPort(address)
	switch {
	case err != nil && address != "" && !strings.ContainsAny(address, ":/[]") && strings.Trim(address, ". ") != "":
		return bad("has no port", fmt.Sprintf("write %q", address+":9030"))
	case err != nil && strings.Contains(address, "://"):
		return bad("is a URL", `write host:port, such as "fe1:9030"`)
	case err != nil:
		return bad("is not host:port", `write such as "fe1:9030", "10.0.0.1:9030" or "[2001:db8::1]:9030"`)
	case host == "":
		return bad("names no host", fmt.Sprintf("write %q", "127.0.0.1:"+service))
	}
	port, err = strconv.Atoi(service)
	if err != nil || port < 1 || port > 65535 || service[0] == '+' {
		return bad("has no port from 1 to 65535", fmt.Sprintf("write %q", net.JoinHostPort(host, "9030")))
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.IsUnspecified():
		return bad("stands for every address, and can't be connected to",
			fmt.Sprintf("write %q", net.JoinHostPort("127.0.0.1", service)))
	case err != nil && !hostName(host):
		return bad("holds no host name", "a host name has letters of ASCII, digits, hyphens, underscores and dots")
	}
	return host, port, "", ""
}

// hostName is lenient: names that only a hosts file knows may break the rules of DNS.
func hostName(s string) bool {
	if len(s) > 253 || strings.HasPrefix(s, ".") || strings.Contains(s, "..") || digitsAndDots(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		letter, digit := 'a' <= r|0x20 && r|0x20 <= 'z', '0' <= r && r <= '9'
		return !letter && !digit && r != '-' && r != '_' && r != '.'
	})
}

// digitsAndDots tells a mistyped IPv4 address, such as 10.0.0.300, from a name.
func digitsAndDots(s string) bool { return strings.Trim(s, "0123456789.") == "" }
