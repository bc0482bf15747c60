package config

import (
	"log/slog"
	"net/netip"
	"time"

	"fairlead/balancer"
	"fairlead/probe"
)

// Defaults is what each key means that a file leaves out. Names, addresses and references have none.
type Defaults struct {
	Admin    Admin
	Shutdown Shutdown
	Log      Log
	Reload   Reload
	Engine   balancer.EngineConfig
	Listener balancer.ListenerConfig
	Pool     balancer.PoolConfig
	Backend  balancer.BackendConfig
	Probe    probe.Config
	// Discovery has no type: a pool's members are those that are configured.
	Discovery Discovery
}

// Default returns the defaults.
func Default() Defaults {
	return Defaults{
		Admin: Admin{
			Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9090")},
			Socket: "/run/fairlead/fairlead.sock",

			SocketMode: 0o660,
		},
		Shutdown: Shutdown{
			Grace: 5 * time.Second, // two failed checks of a keepalived that looks every 2 s
			Drain: time.Minute,
		},
		Log: Log{Level: slog.LevelInfo, Format: "text", Sessions: true},
		Engine: balancer.EngineConfig{
			Kind:     "auto",
			Loops:    0,
			Pipes:    128,     // with the next line at most 32 MiB of kernel memory a loop
			PipeSize: 1 << 19, // measured: 64 KiB costs 1.3 times as much CPU a GB, 1 MiB no less
		},
		Listener: balancer.ListenerConfig{
			LoginTimeout: 10 * time.Second, // MySQL's own connect_timeout
			Keepalive:    time.Minute,
			Backlog:      4096, // the kernel's usual net.core.somaxconn, which caps it
			Proxy:        balancer.ProxyConfig{Timeout: 3 * time.Second /* outlasts one lost packet */, FromOthers: balancer.TakePlain},
			Sniff:        balancer.SniffConfig{Wait: 50 * time.Millisecond, Timeout: 5 * time.Second},
		},
		Pool: balancer.PoolConfig{
			Protocol:        balancer.MySQL,
			Policy:          balancer.LeastConnections,
			ConnectTimeout:  2 * time.Second, // outlasts one lost SYN, which is sent again after 1 s
			GreetingTimeout: 3 * time.Second, // outlasts a pause of a busy server's garbage collection
			SetupTimeout:    10 * time.Second,
			IdleTimeout:     0, // long queries are silent for minutes
			Linger:          30 * time.Second,
			Keepalive:       time.Minute,
			Queue:           1000,
			QueueTimeout:    5 * time.Second,
			SlowStart:       30 * time.Second, // a server that has just started has cold caches
			SessionsOnDown:  balancer.Verify,
			Rebalance:       balancer.RebalanceOff,
			RebalanceSpread: 10,
			ResolveInterval: 10 * time.Second,
		},
		Backend: balancer.BackendConfig{Weight: 1},
		Probe: probe.Config{
			Type:         probe.TypeMySQL,
			Interval:     probe.DefaultInterval,
			FastInterval: probe.DefaultFastInterval,
			Timeout:      probe.DefaultTimeout,
			Rise:         probe.DefaultRise,
			Fall:         probe.DefaultFall,
		},
		Discovery: Discovery{Seeds: probe.Config{Interval: probe.DefaultDiscoveryInterval, Timeout: probe.DefaultDiscoveryTimeout}},
	}
}
