package balancer

import (
	"net/netip"
	"time"
)

// Config is what a Balancer serves: listeners that accept clients and pools of backends that answer
// them. It holds no reference to a file; internal/config makes one out of TOML. The zero value serves nothing.
type Config struct {
	Engine    EngineConfig
	Listeners []ListenerConfig
	Pools     []PoolConfig
}

// EngineConfig sizes the byte mover. It is read once at start; a reload can't change it.
type EngineConfig struct {
	// Kind is "auto" (event loops on Linux, goroutines elsewhere), "loops" or "goroutines".
	Kind string
	// Loops is the number of event loops; 0 means as many as processors are usable.
	Loops int
	// Pipes bounds the pipes that one loop may hold for splice(2); 0 means none: bulk data is copied.
	Pipes int
	// PipeSize is the capacity in bytes asked of the kernel for each pipe.
	PipeSize int
}

// ListenerConfig is one named door with one or more addresses to listen on.
type ListenerConfig struct {
	Name string
	// Bind lists the addresses; an unspecified IPv6 address ([::]) takes IPv4 clients too. Port 0
	// lets the kernel choose.
	Bind []netip.AddrPort
	// Pool names the pool that serves what this listener accepts.
	Pool string
	// LoginTimeout bounds the time from the backend's greeting to the end of the client's login;
	// 0 means no bound. It has no meaning in front of a tcp pool.
	LoginTimeout time.Duration
	// Keepalive is how long a client may be silent before TCP keepalive probes are sent to it; 0 turns them off.
	Keepalive time.Duration
	// MaxSessions bounds the sessions that this listener carries at once; 0 means no bound.
	MaxSessions int
	// Roles are those of the backends that it leads to; empty means all. Where none of them is fit, RolesFallback lets
	// any other backend serve; without it clients are refused.
	Roles         []Role
	RolesFallback bool
	// MaxSessionsPerUser and MaxSessionsPerDatabase bound those of one user, and of one database of logins; 0 means no
	// bound. A session counts from its login on, right or wrong; clients that use TLS are not counted, for their logins
	// can't be read.
	MaxSessionsPerUser, MaxSessionsPerDatabase int
	// Routes lead some clients to other pools than Pool; the first that fits decides.
	Routes []RouteConfig
	// Backlog is the length of the kernel's queue of connections not yet accepted.
	Backlog int
	// Gate says who may come in, Proxy whose word is believed about who that is, and Sniff which protocols are served.
	Gate  GateConfig
	Proxy ProxyConfig
	Sniff SniffConfig
}

// Protocol says who speaks first behind a pool.
type Protocol string

const (
	// MySQL servers greet first: a session is connected when the greeting has arrived.
	MySQL Protocol = "mysql"
	// TCP is any other protocol: a session is connected when TCP is.
	TCP Protocol = "tcp"
)

// Policy names the way a pool picks a backend.
type Policy string

const (
	// LeastConnections picks the backend with the fewest sessions for its weight.
	LeastConnections Policy = "least-connections"
	// RoundRobin takes backends in turn, by weight.
	RoundRobin Policy = "round-robin"
	// SourceHash keeps a client address on its backend while that backend is fit; when one is lost
	// only its share moves.
	SourceHash Policy = "source-hash"
)

// OnDown says what becomes of the sessions on a backend that goes down.
type OnDown string

const (
	// Verify lets the kernel find out which peers are gone, by aggressive TCP keepalive.
	Verify OnDown = "verify"
	// CloseSessions cuts all of them at once.
	CloseSessions OnDown = "close"
	// KeepSessions leaves them alone.
	KeepSessions OnDown = "keep"
)

// PoolConfig is a set of backends that can stand in for each other.
type PoolConfig struct {
	Name     string
	Protocol Protocol
	Policy   Policy

	// ConnectTimeout bounds one TCP connect, GreetingTimeout the wait for the server's greeting after it.
	ConnectTimeout  time.Duration
	GreetingTimeout time.Duration
	// SetupTimeout bounds a client's wait over all attempts and the queue, until a backend has greeted.
	SetupTimeout time.Duration
	// IdleTimeout ends a session in which nothing moved for so long; 0 means never.
	IdleTimeout time.Duration
	// Linger bounds the silence of one side after the other side has finished sending; 0 means no bound.
	Linger time.Duration
	// Keepalive is how long a backend may be silent in a session before TCP keepalive probes are sent; 0
	// turns them off.
	Keepalive time.Duration

	// MaxSessions caps the sessions of each backend that has no cap of its own; 0 means no cap.
	MaxSessions int
	// Queue bounds how many clients may wait for a place when every backend is at its cap; 0 means
	// that none waits. QueueTimeout bounds each one's wait.
	Queue        int
	QueueTimeout time.Duration

	// SlowStart is the time over which a backend that came back grows from a tenth of its weight to all of
	// it; 0 turns it off.
	SlowStart time.Duration
	// SessionsOnDown says what becomes of the sessions on a backend that goes down.
	SessionsOnDown OnDown

	// Rebalance says whether sessions are ended on backends that have more than their share, and RebalanceSpread how much
	// more they may have, in percent of it. Not for source hash, which would lead them to the same backend again, and not for a tcp
	// pool, in which no session is known to be idle.
	Rebalance       Rebalance
	RebalanceSpread int

	// ResolveInterval is how often host names are looked up again.
	ResolveInterval time.Duration
	// Source is the local address of connections to backends; the zero Addr lets the kernel choose.
	Source netip.Addr

	// SendProxy is the version, v1 or v2, of the PROXY header that each connection to a backend begins with; empty means
	// none.
	SendProxy string

	// Minimum is the fewest members that discovery may leave in the pool: a shorter list, found by SHOW FRONTENDS or by a
	// name with Expand, is not believed, and the last one stays in force. 0 means 1.
	Minimum int
	// Discovered says that the members are those that Balancer.Discovered is told, once it has been; until then they are
	// Backends.
	Discovered bool
	// LearnsRoles says that discovery or probes tell the roles of backends, so that a listener may ask for roles
	// that no backend has in its configuration.
	LearnsRoles bool

	Backends []BackendConfig
}

// BackendConfig is one server of a pool, or, with Expand, as many as its name has addresses.
type BackendConfig struct {
	// Address is host:port; the host is an IP address or a name.
	Address string
	// Name is how people call the backend; empty means Address.
	Name string
	// Weight is the backend's share against the others; 0 means that it takes no new sessions.
	Weight int
	// MaxSessions caps its sessions; 0 means the pool's cap.
	MaxSessions int
	// Backup keeps the backend out of choice while any backend that is no backup is fit.
	Backup bool
	// Role is a label: leader, follower, observer, or empty.
	Role string
	// Expand makes a backend of each address that the name resolves to.
	Expand bool
	// HTTP is the URL of its health check where that is not the pool's. The balancer only carries it, for a Watcher.
	HTTP string
}
