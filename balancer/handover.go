package balancer

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"fairlead/internal/clock"
)

// Handover is what a balancer knows of its backends, for the one that takes its place. Its JSON goes from one build to
// another one: fields are added, never changed, and what is missing is the zero value.
type Handover struct {
	Pools []PoolHandover `json:"pools"`
	// At is when it was gathered: all other times are as long before it as they are ago.
	At time.Time `json:"at,omitzero"`
}

// PoolHandover is one pool's part of it.
type PoolHandover struct {
	Name     string            `json:"name"`
	Backends []BackendHandover `json:"backends"`
	// Found is the latest list of discovery that was believed.
	Found []Found `json:"found,omitempty"`
	// Absent are the orders for backends that are no members.
	Absent []Standing `json:"absent,omitempty"`
}

// BackendHandover is one backend's. It counts for a backend of the same name and the same configured address.
type BackendHandover struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Verdict is undecided, fit, unfit or leaving; anything else is as good as undecided.
	Verdict string `json:"verdict"`
	Suspect bool   `json:"suspect,omitempty"`
	// Standing counts whatever the address is.
	Standing Standing  `json:"standing,omitzero"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason,omitempty"`
	// Trouble is the latest evidence against it, SuspectAt when live traffic met some, and Succeeded the latest sign of life.
	Trouble   string    `json:"trouble,omitempty"`
	SuspectAt time.Time `json:"suspect_at"`
	Succeeded time.Time `json:"succeeded"`
	// Ramp is when it came back, while it starts slowly.
	Ramp     time.Time  `json:"ramp"`
	Unproven bool       `json:"unproven,omitempty"`
	Role     Role       `json:"role,omitempty"`
	RoleFrom RoleSource `json:"role_from,omitempty"`
	// Version, Probed, Connect and Greeting are of the latest probe; durations are in nanoseconds.
	Version  string        `json:"version,omitempty"`
	Probed   time.Time     `json:"probed"`
	Connect  time.Duration `json:"connect,omitempty"`
	Greeting time.Duration `json:"greeting,omitempty"`
}

var verdictNames = [...]string{Undecided: "undecided", Fit: "fit", Unfit: "unfit", Leaving: "leaving"}

// verdictNamed is the verdict of that name, or Undecided.
func verdictNamed(name string) Verdict { return Verdict(max(0, slices.Index(verdictNames[:], name))) }

// Handover gathers it.
func (b *Balancer) Handover() Handover {
	h := Handover{At: time.Now()}
	for _, p := range b.Pools() {
		h.Pools = append(h.Pools, p.handover(h.At))
	}
	return h
}

func (p *Pool) handover(now time.Time) PoolHandover {
	found := p.roster.lastFound()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]BackendHandover, len(p.mu.backends))
	for i, b := range p.mu.backends {
		all[i] = BackendHandover{Name: b.Name, Address: b.mu.config.Address, Verdict: verdictNames[b.mu.condition.verdict],
			Suspect: b.mu.condition.suspect, Standing: b.mu.standing.told(now), Since: clock.Told(b.mu.since, now), Reason: b.mu.reason,
			Trouble: b.mu.trouble, SuspectAt: clock.Told(b.mu.suspectAt, now), Succeeded: clock.Told(b.mu.succeeded, now),
			Ramp:     clock.Told(p.mu.seats[i].ramp, now),
			Unproven: b.mu.unproven, Role: b.mu.role, RoleFrom: b.mu.roleFrom, Version: b.mu.probe.Version,
			Probed: clock.Told(b.mu.probe.At, now), Connect: b.mu.probe.Connect, Greeting: b.mu.probe.Greeting}
	}
	return PoolHandover{Name: p.name, Backends: all, Found: found, Absent: told(p.mu.absent, now)}
}

// expect lets a pool's members begin with what was known of them before.
func (p *Pool) expect(h *Handover) {
	if h == nil {
		return
	}
	p.mu.known = map[string]BackendHandover{}
	now := time.Now()
	for _, part := range h.Pools {
		if part.Name != p.name {
			continue
		}
		for _, b := range part.Backends {
			for _, t := range []*time.Time{&b.Since, &b.SuspectAt, &b.Succeeded, &b.Ramp, &b.Probed} {
				*t = clock.Heard(*t, h.At, now)
			}
			b.Standing = b.Standing.heard(now)
			p.mu.known[b.Name] = b
		}
		for _, o := range part.Absent {
			p.mu.absent = append(p.mu.absent, o.heard(now))
		}
	}
}

// rediscover makes the members those that discovery had found in the process before: its seeds may not answer just now.
func (p *Pool) rediscover(h *Handover) {
	if h == nil {
		return
	}
	for _, part := range h.Pools {
		if part.Name == p.name && len(part.Found) > 0 && p.roster.discovered(part.Found) == nil {
			p.setRoles(rolesOf(part.Found))
		}
	}
}

// adopt gives a new member what was known of it before. Nothing is told of it, for nothing has happened.
func (p *Pool) adopt(b *Backend, c BackendConfig) {
	h, ok := p.mu.known[b.Name]
	if !ok {
		return
	}
	delete(p.mu.known, b.Name)
	b.mu.standing, b.mu.condition.order = h.Standing, h.Standing.Order
	if !strings.EqualFold(h.Address, c.Address) {
		return
	}
	b.mu.condition.verdict, b.mu.condition.suspect = verdictNamed(h.Verdict), h.Suspect
	b.bad.Store(b.mu.condition.bad())
	b.mu.since, b.mu.reason, b.mu.trouble = h.Since, h.Reason, h.Trouble
	b.mu.suspectAt, b.mu.succeeded, b.mu.unproven = h.SuspectAt, h.Succeeded, h.Unproven
	b.mu.probe = Probe{At: h.Probed, Verdict: b.mu.condition.verdict, Version: h.Version, Connect: h.Connect, Greeting: h.Greeting}
	p.alter(b.mu.seat).ramp = h.Ramp
	if h.RoleFrom == RoleFromProbe || h.RoleFrom == RoleFromDiscovery {
		p.setRole(b, h.Role, h.RoleFrom)
	}
}

// Known is what is known of a backend's fitness now: what its probes begin with.
func (b *Backend) Known() Verdict {
	b.Pool.mu.Lock()
	defer b.Pool.mu.Unlock()
	if b.mu.condition.suspect {
		return Undecided
	}
	return b.mu.condition.verdict
}

// ForgetHandover ends the time in which a backend that joins may be one that was handed over. What was ordered for those that
// have not joined is kept, as for any that is no member.
func (b *Balancer) ForgetHandover() {
	b.changing.Lock()
	b.options.Handover = nil
	b.changing.Unlock()
	for _, p := range b.Pools() {
		p.mu.Lock()
		for _, h := range p.mu.known {
			if h.Standing.Order != Enable {
				p.keepAbsent(h.Standing)
			}
		}
		p.mu.known = nil
		p.mu.Unlock()
	}
}

// Reorder makes orders those that stand, as another process has them, and no others.
func (b *Balancer) Reorder(orders []Standing) {
	for _, p := range b.Pools() {
		p.mu.Lock()
		p.mu.absent = nil
		for _, member := range p.mu.backends {
			stands := slices.ContainsFunc(orders, func(o Standing) bool { return o.Pool == p.name && o.Backend == member.Name })
			if member.mu.standing.Order != Enable && !stands {
				p.obey(member, Standing{Order: Enable})
			}
		}
		p.mu.Unlock()
	}
	b.Restore(orders)
}

// Counts are sessions on backends, by the names of pool and backend.
type Counts map[string]map[string]int

// Sum is the number of all sessions.
func (c Counts) Sum() int {
	sum := 0
	for _, pool := range c {
		for _, n := range pool {
			sum += n
		}
	}
	return sum
}

// Add adds other counts.
func (c Counts) Add(other Counts) {
	for pool, backends := range other {
		if c[pool] == nil {
			c[pool] = map[string]int{}
		}
		for name, n := range backends {
			c[pool][name] += n
		}
	}
}

// Counts are the sessions that hold places now, without those of former processes, in pools that were removed as well. Backends
// without any are left out.
func (b *Balancer) Counts() Counts {
	all := Counts{}
	for _, p := range b.now().allPools() {
		p.mu.Lock()
		counted := map[string]int{}
		for _, members := range [][]*Backend{p.mu.backends, p.mu.leaving} {
			for _, m := range members {
				if m.mu.sessions > 0 {
					counted[m.Name] += m.mu.sessions
				}
			}
		}
		p.mu.Unlock()
		if len(counted) > 0 {
			all[p.name] = counted
		}
	}
	return all
}

// SetFormer says how many sessions other processes, from before an upgrade, have on the backends. They count for the
// policies and for the caps of backends. Each call replaces what the one before said.
func (b *Balancer) SetFormer(c Counts) {
	for _, p := range b.now().allPools() { // one that was removed may come back
		p.setFormer(c[p.name])
	}
}

func (p *Pool) setFormer(counted map[string]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.former = counted
	fewer := false
	for _, b := range p.mu.backends {
		was := b.mu.former
		p.countFormer(b)
		fewer = fewer || b.mu.former < was
	}
	if fewer {
		p.serveQueue()
	}
}

// countFormer counts on a member the sessions that former processes have there. The lock is held.
func (p *Pool) countFormer(b *Backend) {
	n := max(0, min(p.mu.former[b.Name], mostFormer))
	if n != b.mu.former {
		p.alter(b.mu.seat).sessions += int32(n - b.mu.former)
		b.mu.former = n
	}
}

// mostFormer bounds what another process may claim: no machine has so many ports.
const mostFormer = 1 << 24

// Socket is a duplicate of a listening socket, to be handed to another process.
type Socket struct {
	Listener string
	// Bind is the address as it is configured.
	Bind netip.AddrPort
	File *os.File
}

// Sockets duplicates the listening sockets of all listeners. The files are the caller's to close.
func (b *Balancer) Sockets() ([]Socket, error) {
	var all []Socket
	for _, l := range b.now().listeners {
		for _, d := range l.doors() {
			file, err := d.acceptor.File()
			if err != nil {
				for _, s := range all {
					s.File.Close()
				}
				return nil, err
			}
			all = append(all, Socket{Listener: l.name, Bind: d.configured, File: file})
		}
	}
	return all, nil
}
