package balancer

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sound is a configuration without a fault, for tests to break.
func sound() Config {
	return Config{
		Engine: EngineConfig{Kind: "auto", Pipes: 128, PipeSize: 1 << 18},
		Listeners: []ListenerConfig{
			{Name: "mysql", Bind: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9030")}, Pool: "fe",
				LoginTimeout: 10 * time.Second, Keepalive: time.Minute, Backlog: 4096},
			{Name: "second", Bind: []netip.AddrPort{netip.MustParseAddrPort("[::1]:9030")}, Pool: "fe", Backlog: 1},
		},
		Pools: []PoolConfig{{
			Name: "fe", Protocol: MySQL, Policy: LeastConnections, SessionsOnDown: Verify,
			ConnectTimeout: time.Second, GreetingTimeout: time.Second, SetupTimeout: time.Second,
			QueueTimeout: time.Second, ResolveInterval: time.Second,
			Backends: []BackendConfig{{Address: "127.0.0.1:19030", Weight: 1}, {Address: "fe2:9030", Name: "two"}},
		}},
	}
}

func TestValidate(t *testing.T) {
	if err := sound().Validate(); err != nil {
		t.Fatalf("a sound configuration: %v", err)
	}
	if err := (Config{Engine: sound().Engine}).Validate(); err != nil {
		t.Fatalf("a balancer without listeners serves nothing, but is no error: %v", err)
	}
	bind := func(addresses ...string) func(*Config) {
		return func(c *Config) {
			c.Listeners[0].Bind = nil
			for _, a := range addresses {
				c.Listeners[0].Bind = append(c.Listeners[0].Bind, netip.MustParseAddrPort(a))
			}
		}
	}
	address := func(a string) func(*Config) {
		return func(c *Config) { c.Pools[0].Backends[0].Address = a }
	}
	for name, test := range map[string]struct {
		spoil func(*Config)
		want  string // lines of the error
	}{
		"engine kind":  {func(c *Config) { c.Engine.Kind = "loop" }, `engine.kind: unknown kind "loop": did you mean "loops"?`},
		"engine loops": {func(c *Config) { c.Engine.Loops = -1 }, `engine.loops: loops must be from 0 to 1024, not -1`},
		"roles nobody has": {func(c *Config) { c.Listeners[0].Roles = []Role{Observer} },
			`listener[0].roles[0]: no backend of pool "fe" can have the role "observer": give backends a role, add [pool.discovery] with type = "starrocks", or leader_from_metrics to [pool.probe]`},
		"fallback without roles": {func(c *Config) { c.Listeners[0].RolesFallback = true },
			`listener[0].roles_fallback: roles_fallback without roles has no meaning: add roles = ["observer", "follower"], or remove it`},
		"minimum":            {func(c *Config) { c.Pools[0].Minimum = -1 }, `pool[0].minimum: minimum must be from 0 to 10000000, not -1`},
		"pipe size":          {func(c *Config) { c.Engine.PipeSize = 1 }, `engine.pipe_size: pipe_size must be from 4096 to 1073741824, not 1`},
		"no listener name":   {func(c *Config) { c.Listeners[0].Name = "" }, `listener[0].name: the name is missing: add name = "…"`},
		"space in name":      {func(c *Config) { c.Listeners[0].Name = "a b" }, `listener[0].name: the name "a b" holds a space, a slash or an unprintable character`},
		"long name":          {func(c *Config) { c.Listeners[0].Name = strings.Repeat("x", 129) }, `listener[0].name: the name has 129 bytes, at most 128 are allowed`},
		"same listener name": {func(c *Config) { c.Listeners[1].Name = "mysql" }, `listener[1].name: a second listener is named "mysql": names must differ`},
		"no bind":            {bind(), `listener[0].bind: the listener has no address to listen on: add bind = "127.0.0.1:9030"`},
		"all IPv4 and one of them": {bind("0.0.0.0:9030", "127.0.0.1:9030"),
			`listener[0].bind[1]: 127.0.0.1:9030 overlaps 0.0.0.0:9030 of listener "mysql": an address can be listened on once`},
		"all and one in another": {bind("[::]:9030"),
			`listener[1].bind[0]: [::1]:9030 overlaps [::]:9030 of listener "mysql": an address can be listened on once`},
		"no pool named":  {func(c *Config) { c.Listeners[0].Pool = "" }, `listener[0].pool: the listener names no pool: add pool = "…"`},
		"near pool":      {func(c *Config) { c.Listeners[0].Pool = "fes" }, `listener[0].pool: no pool is named "fes": did you mean "fe"?`},
		"no such pool":   {func(c *Config) { c.Listeners[0].Pool = "readers" }, `listener[0].pool: no pool is named "readers": pools are: fe`},
		"pool name only": {func(c *Config) { c.Pools[0].Name = "" }, `pool[0].name: the name is missing: add name = "…"`},
		"negative":       {func(c *Config) { c.Listeners[0].LoginTimeout = -1 }, `listener[0].login_timeout: login_timeout must not be negative, it is -1ns`},
		"keepalive":      {func(c *Config) { c.Listeners[0].Keepalive = time.Millisecond }, `listener[0].keepalive: keepalive must be at least 1s, not 1ms`},
		"long keepalive": {func(c *Config) { c.Pools[0].Keepalive = 10 * time.Hour }, `pool[0].keepalive: keepalive must be at most 9h6m7s, not 10h`},
		"backlog":        {func(c *Config) { c.Listeners[0].Backlog = 0 }, `listener[0].backlog: backlog must be from 1 to 1048576, not 0`},
		"same pool name": {func(c *Config) { c.Pools = append(c.Pools, c.Pools[0]) }, `pool[1].name: a second pool is named "fe": names must differ`},
		"protocol":       {func(c *Config) { c.Pools[0].Protocol = "http" }, `pool[0].protocol: unknown protocol "http": known: mysql, tcp`},
		"policy":         {func(c *Config) { c.Pools[0].Policy = "leastconnections" }, `pool[0].policy: unknown policy "leastconnections": did you mean "least-connections"?`},
		"on down":        {func(c *Config) { c.Pools[0].SessionsOnDown = "cut" }, `pool[0].sessions_on_down: unknown sessions_on_down "cut": known: verify, close, keep`},
		"no connect":     {func(c *Config) { c.Pools[0].ConnectTimeout = 0 }, `pool[0].connect_timeout: connect_timeout must not be 0: write how long to wait at most, such as "2s"`},
		"no greeting":    {func(c *Config) { c.Pools[0].GreetingTimeout = 0 }, `pool[0].greeting_timeout: greeting_timeout must not be 0: write how long to wait at most, such as "2s"`},
		"tcp does not greet": {func(c *Config) {
			c.Pools[0].Protocol, c.Pools[0].GreetingTimeout = TCP, 0
		}, ""},
		"too long":       {func(c *Config) { c.Pools[0].IdleTimeout = 9000 * time.Hour }, `pool[0].idle_timeout: idle_timeout must be at most 8760h, not 9000h`},
		"queue":          {func(c *Config) { c.Pools[0].Queue = -1 }, `pool[0].queue: queue must be from 0 to 10000000, not -1`},
		"source":         {func(c *Config) { c.Pools[0].Source = netip.MustParseAddr("0.0.0.0") }, `pool[0].source: source 0.0.0.0 is not an address that connections can come from: leave source empty to let the kernel choose`},
		"source family":  {func(c *Config) { c.Pools[0].Source = netip.MustParseAddr("::1") }, `pool[0].backend[0].address: 127.0.0.1:19030 can't be reached from source ::1: one is IPv4, the other IPv6`},
		"no backend":     {func(c *Config) { c.Pools[0].Backends = nil }, `pool[0].backend: the pool has no backend: add [[pool.backend]] with address = "host:9030"`},
		"weight":         {func(c *Config) { c.Pools[0].Backends[0].Weight = 1001 }, `pool[0].backend[0].weight: weight must be from 0 to 1000, not 1001`},
		"role":           {func(c *Config) { c.Pools[0].Backends[0].Role = "folower" }, `pool[0].backend[0].role: unknown role "folower": did you mean "follower"?`},
		"expand":         {func(c *Config) { c.Pools[0].Backends[0].Expand = true }, `pool[0].backend[0].expand: expand needs a host name, and 127.0.0.1 is an IP address: remove expand`},
		"no address":     {address(""), `pool[0].backend[0].address: the backend has no address: add address = "host:9030"`},
		"same address":   {address("FE2:9030"), `pool[0].backend[1].address: the pool has a second backend with address "fe2:9030": use weight to give a backend a greater share`},
		"same name":      {func(c *Config) { c.Pools[0].Backends[0].Name = "two" }, `pool[0].backend[1].name: the pool has a second backend named "two": names must differ`},
		"itself":         {address("127.0.0.1:9030"), `pool[0].backend[0].address: the backend is listener "mysql" itself, at 127.0.0.1:9030: give the listener or the backend another port`},
		"itself by name": {address("localhost:9030"), `pool[0].backend[0].address: the backend is listener "mysql" itself, at 127.0.0.1:9030: give the listener or the backend another port`},
		"not itself": {func(c *Config) {
			bind("0.0.0.0:9030")(c)
			address("10.0.0.1:9030")(c)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := sound()
			test.spoil(&c)
			got := ""
			if err := c.Validate(); err != nil {
				var all ConfigError
				if !errors.As(err, &all) {
					t.Fatalf("the error is a %T", err)
				}
				got = strings.ReplaceAll(err.Error(), "balancer: invalid configuration: ", "")
			}
			if got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestValidateTellsAll(t *testing.T) {
	c := sound()
	c.Engine.Kind, c.Pools[0].Policy, c.Pools[0].Backends[1].Weight = "x", "y", -1
	err := c.Validate()
	if all, ok := err.(ConfigError); !ok || len(all) != 3 {
		t.Fatalf("want three faults, got %v", err)
	}
	if !strings.HasPrefix(err.Error(), "balancer: ") {
		t.Errorf("the error has no prefix: %v", err)
	}
}

func TestSplitAddress(t *testing.T) {
	for _, c := range []struct{ address, message, suggestion string }{
		{"fe1:9030", "", ""},
		{"fe1.example.:9030", "", ""},
		{"fe_1:1", "", ""},
		{"[2001:db8::1]:65535", "", ""},
		{"[fe80::1%eth0]:9030", "", ""},
		{"fe1", "has no port", `write "fe1:9030"`},
		{"10.0.0.1", "has no port", `write "10.0.0.1:9030"`},
		{"2001:db8::1", "has no port", `write "[2001:db8::1]:9030"`},
		{"2001:db8:0:0:0:0:0:1:9030", "is not host:port", `write such as "fe1:9030", "10.0.0.1:9030" or "[2001:db8::1]:9030"`},
		{"http://fe1:8030", "is a URL", `write host:port, such as "fe1:9030"`},
		{":9030", "names no host", `write "127.0.0.1:9030"`},
		{"fe1:", "has no port from 1 to 65535", `write "fe1:9030"`},
		{"fe1:0", "has no port from 1 to 65535", `write "fe1:9030"`},
		{"fe1:65536", "has no port from 1 to 65535", `write "fe1:9030"`},
		{"fe1:mysql", "has no port from 1 to 65535", `write "fe1:9030"`},
		{"0.0.0.0:9030", "stands for every address, and can't be connected to", `write "127.0.0.1:9030"`},
		{"10.0.0.300:9030", "holds no host name", "a host name has letters of ASCII, digits, hyphens, underscores and dots"},
		{"fe 1:9030", "holds no host name", "a host name has letters of ASCII, digits, hyphens, underscores and dots"},
		{"...", "is not host:port", `write such as "fe1:9030", "10.0.0.1:9030" or "[2001:db8::1]:9030"`},
	} {
		_, _, message, suggestion := splitAddress(c.address)
		want := c.message
		if want != "" {
			want = `the address "` + c.address + `" ` + want
		}
		if message != want || suggestion != c.suggestion {
			t.Errorf("%q: %q, %q; want %q, %q", c.address, message, suggestion, want, c.suggestion)
		}
	}
}

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"0.0.0.0:1", "127.0.0.1:1", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"0.0.0.0:1", "[::]:1", true},
		{"[::]:1", "10.0.0.1:1", true},
		{"[::]:1", "[::1]:1", true},
		{"[::ffff:10.0.0.1]:1", "10.0.0.1:1", true},
		{"127.0.0.1:0", "127.0.0.1:0", false},
	} {
		a, b := netip.MustParseAddrPort(c.a), netip.MustParseAddrPort(c.b)
		if Overlap(a, b) != c.want || Overlap(b, a) != c.want {
			t.Errorf("Overlap(%s, %s) is not %v both ways", a, b, c.want)
		}
	}
}

// FuzzSplitAddress: what is accepted has a host, and a port that fits.
func FuzzSplitAddress(f *testing.F) {
	f.Add("fe1:9030")
	f.Add("[::1]:9030")
	f.Fuzz(func(t *testing.T, address string) {
		host, port, message, suggestion := splitAddress(address)
		if message == "" && (host == "" || port < 1 || port > 65535 || suggestion != "") {
			t.Errorf("%q: host %q, port %d, suggestion %q", address, host, port, suggestion)
		}
	})
}
