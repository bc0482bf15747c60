package balancer

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fairlead/internal/mysqlwire"
)

// GateConfig says who may come in through a listener, and how many. The zero value lets everybody in.
type GateConfig struct {
	// Allow lists the networks that may come in; empty means all. Deny lists those that may not, and wins over Allow.
	Allow, Deny []netip.Prefix
	// MaxSessionsPerSource bounds the sessions that one source has at once; 0 means no bound. A source is an IPv4 address,
	// or the /64 network of an IPv6 address, which is what one host or one household has to choose from.
	MaxSessionsPerSource int
	// Rate bounds the new sessions a second over all sources, RatePerSource those of each source; 0 means no bound. The
	// bursts are how many may come at once after a pause; 0 means as many as a second has.
	Rate, RateBurst                   int
	RatePerSource, RatePerSourceBurst int
}

// Why a gate turns a client away, as metrics and the session log call it.
const (
	rejectDenied       = "denied"        // its network
	rejectSourceFull   = "source_full"   // MaxSessionsPerSource
	rejectSourceRate   = "source_rate"   // RatePerSource
	rejectListenerRate = "listener_rate" // Rate
)

// mostSources bounds the sources that a gate tells apart, some 200 bytes each. It is well beyond the clients of a database,
// and what a flood with made-up addresses can't fill either: TCP connections come from addresses that answer.
const mostSources = 1 << 16

// gate decides who may come in through a listener, and counts them; what it is to decide is the configuration's. All of its
// steps take the same short time, whatever the number of sources.
//
// A source is kept while it has sessions, or while its rate has not recovered: one that has neither is like one that was
// never here, and goes when its place is wanted. When every place is taken by sources of which that is not true, those
// that come on top are counted together as one.
type gate struct {
	places int // mostSources, but for tests
	now    func() time.Time

	mu struct {
		sync.Mutex
		rates   GateConfig    // those in force
		all     *rate.Limiter // nil without Rate
		sources map[netip.Addr]*source
		// idle are the sources without sessions, those first that have not tried to come in for the longest.
		idle     sourceList
		overflow source // of those without a place
	}
}

// source is what a gate knows of a source.
type source struct {
	address    netip.Addr
	sessions   int
	limiter    *rate.Limiter // nil without RatePerSource
	prev, next *source       // in idle, when without sessions
}

// newGate makes a listener's gate.
func newGate(c GateConfig) *gate {
	g := &gate{places: mostSources, now: time.Now}
	g.configure(c)
	return g
}

// configure puts rates in force. What has been counted, and what has been spent, stays.
func (g *gate) configure(c GateConfig) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.rates = c
	g.mu.all = limit(g.mu.all, c.Rate, c.RateBurst, g.now())
}

// restricts tells whether somebody may be kept out.
func (c *GateConfig) restricts() bool {
	return len(c.Allow)+len(c.Deny) > 0 || c.Rate > 0 || c.countsSources()
}

func (c *GateConfig) countsSources() bool { return c.MaxSessionsPerSource > 0 || c.RatePerSource > 0 }

// limit brings a limiter, which may be nil, to a rate; without a rate there is none.
func limit(l *rate.Limiter, perSecond, burst int, now time.Time) *rate.Limiter {
	if burst == 0 {
		burst = perSecond
	}
	switch {
	case perSecond == 0:
		return nil
	case l == nil:
		return rate.NewLimiter(rate.Limit(perSecond), burst)
	}
	if l.Limit() != rate.Limit(perSecond) {
		l.SetLimitAt(now, rate.Limit(perSecond))
	}
	if l.Burst() != burst {
		l.SetBurstAt(now, burst)
	}
	return l
}

// limit brings a source to the rate in force.
func (g *gate) limit(s *source, now time.Time) {
	s.limiter = limit(s.limiter, g.mu.rates.RatePerSource, g.mu.rates.RatePerSourceBurst, now)
}

// sourceOf is the source that an address belongs to.
func sourceOf(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if client.Is4() {
		return client
	}
	network, _ := client.Prefix(64)
	return network.Addr()
}

// pass is a place that a gate has given to a session.
type pass struct {
	gate   *gate
	source *source
}

// admit lets a client in, or says why not. The pass is to be given back; without counts by source there is none. No
// rate is charged for a client that another check refuses.
func (g *gate) admit(c *GateConfig, client netip.Addr) (given *pass, reason string) {
	if !c.permits(client) {
		return nil, rejectDenied
	}
	if c.Rate == 0 && !c.countsSources() {
		return nil, ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if !c.countsSources() {
		if g.mu.all != nil && !g.mu.all.AllowN(now, 1) {
			return nil, rejectListenerRate
		}
		return nil, ""
	}
	s := g.source(sourceOf(client), now)
	g.limit(s, now)
	if most := c.MaxSessionsPerSource; most > 0 && s.sessions >= most {
		return nil, rejectSourceFull
	}
	if s.limiter != nil && s.limiter.TokensAt(now) < 1 {
		return nil, rejectSourceRate
	}
	if g.mu.all != nil && !g.mu.all.AllowN(now, 1) {
		return nil, rejectListenerRate
	}
	if s.limiter != nil {
		s.limiter.AllowN(now, 1)
	}
	if s.sessions++; s.sessions == 1 {
		g.mu.idle.remove(s)
	}
	return &pass{g, s}, ""
}

// permits looks at the lists.
func (c *GateConfig) permits(client netip.Addr) bool {
	client = client.Unmap().WithZone("")
	return !within(client, c.Deny) && (len(c.Allow) == 0 || within(client, c.Allow))
}

func within(a netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// source finds a source, or gives it a place; a new one is idle. Two that are of no use any more make room for it, so that
// the table shrinks again after a rush.
func (g *gate) source(address netip.Addr, now time.Time) *source {
	if s := g.mu.sources[address]; s != nil {
		if s.sessions == 0 { // who tries again and again is not who has been away the longest
			g.mu.idle.remove(s)
			g.mu.idle.add(s)
		}
		return s
	}
	for range 2 {
		g.forget(g.mu.idle.first, now)
	}
	if len(g.mu.sources) >= g.places {
		return &g.mu.overflow
	}
	s := &source{address: address}
	if g.mu.sources == nil {
		g.mu.sources = map[netip.Addr]*source{}
	}
	g.mu.sources[address] = s
	g.mu.idle.add(s)
	return s
}

// forget removes an idle source, unless its rate has not recovered.
func (g *gate) forget(s *source, now time.Time) {
	if s == nil || s.limiter != nil && s.limiter.TokensAt(now) < float64(s.limiter.Burst()) {
		return
	}
	g.mu.idle.remove(s)
	delete(g.mu.sources, s.address)
}

// release gives a place back. More than one call is as good as one, from one goroutine; a nil pass holds nothing.
func (p *pass) release() {
	if p == nil || p.source == nil {
		return
	}
	g, s := p.gate, p.source
	p.source = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.sessions--; s.sessions > 0 {
		return
	}
	g.mu.idle.add(s)
	if s.limiter == nil {
		g.forget(s, time.Time{})
	}
}

// sourceList is a list of sources; the overflow is never in it.
type sourceList struct{ first, last *source }

func (l *sourceList) add(s *source) {
	if !s.address.IsValid() {
		return
	}
	s.prev, s.next = l.last, nil
	if l.last != nil {
		l.last.next = s
	} else {
		l.first = s
	}
	l.last = s
}

func (l *sourceList) remove(s *source) {
	if !s.address.IsValid() {
		return
	}
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		l.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else {
		l.last = s.prev
	}
	s.prev, s.next = nil, nil
}

// refusal is what a MySQL client is told, in the words that servers have for it (mysqld_error.h:
// ER_HOST_NOT_PRIVILEGED, ER_TOO_MANY_USER_CONNECTIONS, ER_CON_COUNT_ERROR).
func (t *terms) refusal(reason string, client netip.Addr) *mysqlwire.ServerError {
	config := &t.Gate
	switch reason {
	case rejectDenied:
		return &mysqlwire.ServerError{Code: 1130, State: "HY000",
			Message: fmt.Sprintf("fairlead: host %v is not allowed to connect to listener %q", client, t.Name)}
	case rejectSourceFull:
		return &mysqlwire.ServerError{Code: 1203, State: "42000",
			Message: fmt.Sprintf("fairlead: host %v has max_sessions_per_source, %d, already", client, config.MaxSessionsPerSource)}
	case rejectSourceRate:
		return &mysqlwire.ServerError{Code: 1203, State: "42000",
			Message: fmt.Sprintf("fairlead: host %v connects more often than rate_per_source, %d a second", client, config.RatePerSource)}
	}
	return &mysqlwire.ServerError{Code: 1040, State: "08004",
		Message: fmt.Sprintf("fairlead: listener %q gets more connections than its rate, %d a second", t.Name, config.Rate)}
}
