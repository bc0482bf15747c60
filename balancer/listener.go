package balancer

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/balancer/splice"
	"fairlead/metrics"
)

// Listener is one named door: it accepts clients on its addresses and makes a session of each.
type Listener struct {
	name     string
	balancer *Balancer
	config   ListenerConfig
	pool     *Pool
	tiers    tiers    // the roles of backends that it leads to
	routes   routes   // nil without any
	logins   logins   // those of each user and database
	gate     *gate    // nil lets everybody in
	sniffer  *sniffer // nil: only one protocol is served
	metrics  *metrics.Listener
	sessions atomic.Int64

	mu struct {
		sync.Mutex
		acceptors []splice.Acceptor
	}
}

// listen opens all addresses, or none.
func (l *Listener) listen() error {
	for _, address := range l.config.Bind {
		a, err := l.balancer.engine.Listen(splice.ListenOptions{
			Address:   address,
			Backlog:   l.config.Backlog,
			Keepalive: l.config.Keepalive,
			FreeBind:  true,
			Trouble:   func(err error) { l.trouble(address, err) },
		}, l.accept)
		if err != nil {
			l.close()
			return &ListenError{Listener: l.name, Address: address, Err: err}
		}
		l.mu.Lock()
		l.mu.acceptors = append(l.mu.acceptors, a)
		l.mu.Unlock()
		l.balancer.log.Info("listening", "listener", l.name, "address", a.Address(), "pool", l.pool.name)
	}
	return nil
}

// wanted says which roles the listener leads to, in words that follow a pool's name.
func (l *Listener) wanted() string {
	if len(l.config.Roles) == 0 || l.config.RolesFallback {
		return ""
	}
	return fmt.Sprintf(" with role %s", joinRoles(l.config.Roles))
}

// ListenError is an address that can't be listened on.
type ListenError struct {
	Listener string
	Address  netip.AddrPort
	Err      error
}

// Error says which listener and why.
func (e *ListenError) Error() string {
	return fmt.Sprintf("balancer: listener %q can't listen on %s: %v", e.Listener, e.Address, e.Err)
}

// Unwrap gives the kernel's error.
func (e *ListenError) Unwrap() error { return e.Err }

func (l *Listener) trouble(address netip.AddrPort, err error) {
	if err != nil {
		l.balancer.log.Error("can't accept; trying again", "listener", l.name, "address", address, "error", err)
	} else {
		l.balancer.log.Info("accepting again", "listener", l.name, "address", address)
	}
}

func (l *Listener) close() {
	l.mu.Lock()
	acceptors := l.mu.acceptors
	l.mu.acceptors = nil
	l.mu.Unlock()
	for _, a := range acceptors {
		a.Close()
	}
}

// accept is the beginning of each session.
func (l *Listener) accept(t splice.Task) {
	present := l.sessions.Add(1)
	l.balancer.sessions.Add(1)
	s := &session{
		id:       l.balancer.ids.Add(1),
		listener: l,
		pool:     l.pool,
		config:   l.pool.config.Load(),
		task:     t,
		client:   t.Client().Remote(),
		started:  time.Now(),
	}
	s.run(present)
}
