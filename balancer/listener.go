package balancer

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"fairlead/balancer/splice"
	"fairlead/metrics"
)

// Listener is one named way in: it accepts clients at its doors and makes a session of each. It lives on over reloads, as
// long as the configuration has one of its name, and then until its last session has ended.
type Listener struct {
	name     string
	balancer *Balancer
	terms    atomic.Pointer[terms]
	logins   logins // those of each user and database
	gate     *gate
	metrics  *metrics.Listener
	sessions atomic.Int64

	mu struct {
		sync.Mutex
		doors []*door
	}
}

func (b *Balancer) newListener(name string) *Listener {
	return &Listener{name: name, balancer: b, gate: newGate(GateConfig{}), metrics: b.metrics.Listener(name)}
}

// Name is the listener's name in the configuration.
func (l *Listener) Name() string { return l.name }

// door is one listening socket. A reload may give it to another listener.
type door struct {
	configured netip.AddrPort // as the configuration has it
	acceptor   splice.Acceptor
	listener   atomic.Pointer[Listener]
}

// newDoor opens a listening socket that accepts nobody yet.
func (b *Balancer) newDoor(c ListenerConfig, address netip.AddrPort, beside []splice.Acceptor) (*door, error) {
	d := &door{configured: address}
	var inherited *os.File
	if b.options.Inherited != nil {
		inherited = b.options.Inherited(c.Name, address)
	}
	a, err := b.engine.Listen(splice.ListenOptions{
		Address:   address,
		File:      inherited,
		Backlog:   c.Backlog,
		Keepalive: c.Keepalive,
		FreeBind:  true,
		Held:      true,
		Beside:    beside,
		Trouble:   func(err error) { d.listener.Load().trouble(address, err) },
	}, d.accept)
	if err != nil {
		return nil, &ListenError{Listener: c.Name, Address: address, Err: err}
	}
	d.acceptor = a
	return d, nil
}

// accept is the beginning of each session.
func (d *door) accept(t splice.Task) {
	l, terms := d.enter()
	defer terms.settingUp.Add(-1)
	l.accept(t, terms)
}

// enter finds the terms for a session that is to be set up, and counts it there.
func (d *door) enter() (*Listener, *terms) {
	for {
		l := d.listener.Load()
		t := l.terms.Load()
		t.settingUp.Add(1)
		if d.listener.Load() == l && l.terms.Load() == t {
			return l, t
		}
		t.settingUp.Add(-1) // a reload was faster, and may not have seen the count
	}
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

// serveAt makes doors those of the listener, and lets clients in at those that are new.
func (l *Listener) serveAt(doors []*door) {
	config := &l.terms.Load().ListenerConfig
	for _, d := range doors {
		d.listener.Store(l)
	}
	l.mu.Lock()
	was := l.mu.doors
	l.mu.doors = doors
	l.mu.Unlock()
	for _, d := range doors {
		d.acceptor.Tune(config.Backlog, config.Keepalive)
		d.acceptor.Accept()
		if !slices.Contains(was, d) {
			l.balancer.log.Info("listening", "listener", l.name, "address", d.acceptor.Address(), "pool", config.Pool)
		}
	}
}

// doors are the listener's present ones.
func (l *Listener) doors() []*door {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.doors)
}

func (l *Listener) close() {
	l.mu.Lock()
	doors := l.mu.doors
	l.mu.doors = nil // before anybody can be refused: who is then finds no addresses
	l.mu.Unlock()
	for _, d := range doors {
		d.acceptor.Close()
	}
}

func (l *Listener) accept(t splice.Task, terms *terms) {
	present := l.sessions.Add(1)
	l.balancer.sessions.Add(1)
	s := &session{
		id:       l.balancer.ids.Add(1),
		listener: l,
		terms:    terms,
		pool:     terms.own.pool,
		config:   terms.own.settings,
		task:     t,
		client:   t.Client().Remote(),
		started:  t.Now(),
	}
	s.run(present)
}
