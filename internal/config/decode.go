package config

import (
	"fmt"
	"log/slog"
	"strings"

	"fairlead/balancer"
	"fairlead/probe"
)

// decodeFile reads the whole file. Every section is read the same way whatever stands in others, so that one fault
// hides no other.
func decodeFile(d *document, top *section) *File {
	f := &File{Name: d.name, Probes: map[string]probe.Config{}, Discoveries: map[string]Discovery{}}
	byDefault := Default()
	f.Admin = decodeAdmin(top.table("admin"), byDefault.Admin, f)
	f.Shutdown = decodeShutdown(top.table("shutdown"), byDefault.Shutdown)
	f.Log = decodeLog(top.table("log"), byDefault.Log)
	f.Reload = decodeReload(top.table("reload"), byDefault.Reload)
	f.Balancer.Engine = decodeEngine(top.table("engine"), byDefault.Engine)
	listeners, pools := top.tables("listener"), top.tables("pool")
	protocols := map[string]balancer.Protocol{}
	for _, s := range pools {
		pool := decodePool(s, byDefault)
		protocols[pool.Name] = pool.Protocol
		health := decodeProbe(s.table("probe"), byDefault.Probe, pool)
		pool.LearnsRoles = health.LeaderFromMetrics
		if c := decodeDiscovery(s, byDefault.Discovery, &pool, health); c.Type != "" {
			f.Discoveries[pool.Name] = c
		}
		f.Probes[pool.Name] = health
		f.Balancer.Pools = append(f.Balancer.Pools, pool)
	}
	for _, s := range listeners {
		f.Balancer.Listeners = append(f.Balancer.Listeners, decodeListener(s, byDefault.Listener, protocols, f))
	}
	return f
}

func decodeAdmin(s *section, c Admin, f *File) Admin {
	c.Listen = s.listenAddresses("listen", c.Listen, "admin", f)
	c.Socket = s.doc.resolve(s.text("socket", c.Socket))
	// sun_path has 108 bytes, of which the last is NUL.
	if len(c.Socket) > 107 {
		s.problem("socket", fmt.Sprintf("the path of socket has %d bytes, at most 107 are allowed", len(c.Socket)), "")
	}
	c.SocketMode = s.socketMode("socket_mode", c.SocketMode)
	c.SocketOwner = s.text("socket_owner", c.SocketOwner)
	c.SocketGroup = s.text("socket_group", c.SocketGroup)
	c.ReadinessFile = s.doc.resolve(s.text("readiness_file", c.ReadinessFile))
	c.StateFile = s.doc.resolve(s.text("state_file", c.StateFile))
	return c
}

func decodeShutdown(s *section, c Shutdown) Shutdown {
	c.Grace = s.duration("grace", c.Grace)
	c.Drain = s.duration("drain", c.Drain)
	s.between("grace", c.Grace, 0, longest)
	s.between("drain", c.Drain, 0, longest)
	return c
}

func decodeLog(s *section, c Log) Log {
	level := s.choice("level", strings.ToLower(c.Level.String()), "debug", "info", "warn", "error")
	if err := c.Level.UnmarshalText([]byte(level)); err != nil {
		c.Level = slog.LevelInfo
	}
	c.Format = s.choice("format", c.Format, "text", "json")
	c.File = s.doc.resolve(s.text("file", c.File))
	c.Sessions = s.flag("sessions", c.Sessions)
	return c
}

func decodeReload(s *section, c Reload) Reload {
	c.Watch = s.flag("watch", c.Watch)
	return c
}

func decodeEngine(s *section, c balancer.EngineConfig) balancer.EngineConfig {
	c.Kind = s.text("kind", c.Kind)
	c.Loops = s.number("loops", c.Loops)
	c.Pipes = s.number("pipes", c.Pipes)
	c.PipeSize = s.number("pipe_size", c.PipeSize)
	return c
}

func decodeListener(s *section, c balancer.ListenerConfig, protocols map[string]balancer.Protocol, f *File) balancer.ListenerConfig {
	c.Name = s.required("name")
	c.Bind = s.listenAddresses("bind", nil, fmt.Sprintf("listener %q", c.Name), f)
	c.Pool = s.required("pool")
	c.LoginTimeout = s.duration("login_timeout", c.LoginTimeout)
	c.Keepalive = s.duration("keepalive", c.Keepalive)
	c.MaxSessions = s.number("max_sessions", c.MaxSessions)
	c.Roles = s.roles("roles")
	c.RolesFallback = s.flag("roles_fallback", c.RolesFallback)
	c.Backlog = s.number("backlog", c.Backlog)
	decodeLoginLimits(s, &c, protocols[c.Pool])
	c.Routes = decodeRoutes(s)
	c.Gate, c.Proxy = decodeGate(s, c.Gate), decodeProxy(s, c.Proxy)
	c.Sniff = decodeSniff(s.table("sniff"), c.Sniff)
	if !servesMySQL(c, protocols) {
		if s.has("login_timeout") {
			s.problem("login_timeout", fmt.Sprintf("login_timeout has no meaning in front of pool %q, whose protocol is tcp", c.Pool), "remove it")
		}
		c.LoginTimeout = 0
	}
	return c
}

func decodePool(s *section, byDefault Defaults) balancer.PoolConfig {
	c := byDefault.Pool
	c.Name = s.required("name")
	c.Protocol = balancer.Protocol(s.text("protocol", string(c.Protocol)))
	c.Policy = balancer.Policy(s.text("policy", string(c.Policy)))
	c.ConnectTimeout = s.duration("connect_timeout", c.ConnectTimeout)
	c.GreetingTimeout = s.duration("greeting_timeout", c.GreetingTimeout)
	c.SetupTimeout = s.duration("setup_timeout", c.SetupTimeout)
	c.IdleTimeout = s.duration("idle_timeout", c.IdleTimeout)
	c.Linger = s.duration("linger", c.Linger)
	c.Keepalive = s.duration("keepalive", c.Keepalive)
	c.MaxSessions = s.number("max_sessions", c.MaxSessions)
	c.Queue = s.number("queue", c.Queue)
	c.QueueTimeout = s.duration("queue_timeout", c.QueueTimeout)
	c.SlowStart = s.duration("slow_start", c.SlowStart)
	c.Rebalance = balancer.Rebalance(s.text("rebalance", string(c.Rebalance)))
	c.RebalanceSpread = s.number("rebalance_spread", c.RebalanceSpread)
	c.SessionsOnDown = balancer.OnDown(s.text("sessions_on_down", string(c.SessionsOnDown)))
	c.ResolveInterval = s.duration("resolve_interval", c.ResolveInterval)
	c.Source = s.sourceAddress("source")
	c.SendProxy = s.text("send_proxy", c.SendProxy)
	for _, b := range s.tables("backend") {
		c.Backends = append(c.Backends, decodeBackend(b, byDefault.Backend))
	}
	if c.Protocol == balancer.TCP && s.has("greeting_timeout") {
		s.problem("greeting_timeout", "greeting_timeout has no meaning in a pool whose protocol is tcp: nobody has to greet there", "remove it")
	}
	return c
}

func decodeBackend(s *section, c balancer.BackendConfig) balancer.BackendConfig {
	c.Address = s.required("address")
	if isTemplate(c.Address) {
		s.problem("address", "a template can't be the address of a backend: it stands for addresses of this machine",
			`write such as "fe1:9030"`)
	}
	c.Name = s.text("name", c.Name)
	c.Weight = s.number("weight", c.Weight)
	c.MaxSessions = s.number("max_sessions", c.MaxSessions)
	c.Backup = s.flag("backup", c.Backup)
	c.Role = s.text("role", c.Role)
	c.Expand = s.flag("expand", c.Expand)
	c.HTTP = s.url("http", c.HTTP)
	return c
}

// required reads a string that has no default.
func (s *section) required(key string) string {
	if s.doc.recorded != nil {
		s.value(key, nil)
		return ""
	}
	return s.text(key, "")
}
