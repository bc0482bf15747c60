package balancer

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// add makes a backend a member. addresses may be nil for a name that is not resolved yet.
// One that is unproven takes no sessions before a probe has succeeded.
func (p *Pool) add(c BackendConfig, name, host string, addresses []netip.AddrPort, unproven bool) *Backend {
	b := &Backend{Pool: p, Name: name, Host: host, metrics: p.metrics.Backend(p.name, name)}
	if len(addresses) > 0 {
		b.addresses.Store(&addresses)
	}
	p.mu.Lock()
	b.mu.seat, b.mu.since, b.mu.unproven = len(p.mu.seats), time.Now(), unproven
	if len(addresses) == 0 {
		b.mu.reason = fmt.Sprintf("%s is not resolved yet", host)
	}
	p.mu.seats = append(p.mu.seats, seat{hash: hashName(name)})
	p.mu.index.reset()
	p.mu.backends = append(p.mu.backends, b)
	p.adopt(b, c)
	p.seat(b, c)
	p.countFormer(b)
	p.recall(b)
	suspect := b.mu.condition.suspect
	p.mu.Unlock()
	p.watcher.Watch(b)
	if suspect {
		p.watcher.Suspect(b)
	}
	return b
}

// reconfigure changes a member's weight, cap, role and whether it is a backup.
func (p *Pool) reconfigure(b *Backend, c BackendConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat >= 0 {
		p.seat(b, c)
	}
}

// seat fills in a member's seat from its configuration.
func (p *Pool) seat(b *Backend, c BackendConfig) {
	b.mu.config = c
	limit := c.MaxSessions
	if limit == 0 {
		limit = p.config.Load().MaxSessions
	}
	s := p.alter(b.mu.seat)
	s.max, s.weight, s.backup = int32(limit), int32(c.Weight), c.Backup
	if b.mu.roleFrom == RoleFromFile {
		b.mu.roleFrom = "" // the file may have changed its mind
	}
	if c.Role != "" {
		p.setRole(b, Role(c.Role), RoleFromFile)
	}
	p.reseat(b)
	p.serveQueue()
}

// succeed lets a new member begin with what is known of one that is about to leave: what a person has ordered for its name
// or its address, and, where an address is the same, how it is.
func (p *Pool) succeed(b *Backend, leaving []*entry) {
	for _, e := range leaving {
		for _, old := range e.backends() {
			sameServer := slices.ContainsFunc(old.Addresses(), func(a netip.AddrPort) bool { return slices.Contains(b.Addresses(), a) })
			if old.Name == b.Name || sameServer {
				p.inherit(b, old, sameServer)
				return
			}
		}
	}
}

func (p *Pool) inherit(b, old *Backend, sameServer bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat < 0 || old.mu.seat < 0 {
		return
	}
	if old.mu.standing.Order != Enable && b.mu.standing.Order == Enable {
		p.obey(b, old.mu.standing)
		old.mu.bequeathed = true
	}
	c := b.mu.condition
	if sameServer {
		c.verdict, c.suspect = old.mu.condition.verdict, old.mu.condition.suspect
		b.mu.unproven = b.mu.unproven && old.mu.unproven
		b.mu.trouble, b.mu.suspectAt, b.mu.succeeded, b.mu.probe = old.mu.trouble, old.mu.suspectAt, old.mu.succeeded, old.mu.probe
	}
	p.change(b, c, old.mu.reason)
	p.reseat(b)
}

// remove ends a backend's membership; its sessions go on, and its metrics end with the last of them.
func (p *Pool) remove(b *Backend) {
	p.watcher.Forget(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	i, last := b.mu.seat, len(p.mu.seats)-1
	if i < 0 {
		return
	}
	p.mu.seats = slices.Delete(p.mu.seats, i, i+1)
	p.mu.index.reset()
	p.mu.backends = slices.Delete(p.mu.backends, i, i+1)
	for k := i; k < last; k++ {
		p.mu.backends[k].mu.seat = k
	}
	p.mu.start = 0
	b.mu.seat = -1
	b.mu.former = 0 // they count where the name is a member, or nowhere
	if b.mu.standing.Order != Enable && !b.mu.bequeathed {
		p.keepAbsent(b.mu.standing)
	}
	if b.mu.sessions > 0 {
		p.mu.leaving = append(p.mu.leaving, b)
	}
	p.removeSeries(b)
	p.log.Info("backend removed", "backend", b.Name, "sessions", b.mu.sessions)
	p.serveQueue()
}

// readdress gives a backend the addresses that its name has now.
func (p *Pool) readdress(b *Backend, addresses []netip.AddrPort) {
	first := len(b.Addresses()) == 0
	b.addresses.Store(&addresses)
	p.mu.Lock()
	if first && b.mu.seat >= 0 {
		b.mu.reason = ""
		p.reseat(b)
		p.serveQueue()
	}
	p.mu.Unlock()
	if first {
		p.watcher.Watch(b)
	}
}
