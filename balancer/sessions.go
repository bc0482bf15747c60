package balancer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"fairlead/internal/clock"
)

// LiveSession is a session under way that has a place on a backend. Durations are in nanoseconds.
type LiveSession struct {
	ID       uint64         `json:"id"`
	Client   netip.AddrPort `json:"client"`
	Listener string         `json:"listener"`
	Pool     string         `json:"pool"`
	Backend  string         `json:"backend"`
	// LoggedIn is false during the set-up: nothing is known of the session's peers yet.
	LoggedIn bool `json:"logged_in"`
	// ConnectionID, User, Database and Program are as in SessionRecord.
	ConnectionID uint32 `json:"connection_id"`
	User         string `json:"user"`
	Database     string `json:"database"`
	Program      string `json:"program"`
	// ToServer and ToClient are bytes, up to about a second ago.
	ToServer uint64    `json:"to_server"`
	ToClient uint64    `json:"to_client"`
	Started  time.Time `json:"started"`
	// Age is the time since the accept, Idle that since bytes were last seen to move, to about a second.
	Age  time.Duration `json:"age"`
	Idle time.Duration `json:"idle"`
}

// leasesAtOnce is how many leases are walked in one go. That takes some 20 µs, in which nobody else can have the
// pool's lock.
const leasesAtOnce = 256

// LiveSessions lists the sessions that hold a place on a member of a pool, in the order in which they came. It is
// no snapshot: those that come or go meanwhile may be in it or not.
func (b *Balancer) LiveSessions() []LiveSession {
	var all []LiveSession
	for _, p := range b.now().allPools() {
		for _, backend := range p.holding() {
			for _, s := range p.holders(backend) {
				all = append(all, s.live(backend, time.Now()))
			}
		}
	}
	slices.SortStableFunc(all, func(x, y LiveSession) int { return cmp.Compare(x.ID, y.ID) })
	// A login that is being moved has two places for a moment.
	return slices.CompactFunc(all, func(x, y LiveSession) bool { return x.ID == y.ID })
}

// holding are the backends that may have sessions: the members, and those that have left and keep theirs.
func (p *Pool) holding() []*Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(slices.Clone(p.mu.backends), p.mu.leaving...)
}

// holders finds the sessions that hold a backend's leases. It gives the pool's lock away after each bounded number of
// them, and keeps its place in the list by a lease that nobody holds.
func (p *Pool) holders(b *Backend) []*session {
	var found []*session
	place := &Lease{Backend: b}
	p.mu.Lock()
	b.mu.leases.add(place)
	for place.next != nil {
		for range leasesAtOnce {
			next := place.next
			if next == nil {
				break
			}
			if next.holder != nil {
				found = append(found, next.holder)
			}
			b.mu.leases.moveBehind(place, next)
		}
		p.mu.Unlock()
		p.mu.Lock()
	}
	b.mu.leases.remove(place)
	p.mu.Unlock()
	return found
}

// moveBehind takes l out and puts it behind place.
func (list *leaseList) moveBehind(l, place *Lease) {
	list.remove(l)
	l.held = true
	l.prev, l.next = place, place.next
	if l.next != nil {
		l.next.prev = l
	}
	place.next = l
}

// live tells what may be told of a session while it runs.
func (s *session) live(b *Backend, now time.Time) LiveSession {
	l := LiveSession{ID: s.id, Client: s.client, Listener: s.listener.name, Pool: b.Pool.name, Backend: b.Name,
		ToServer: s.toServer.Load(), ToClient: s.toClient.Load(), Started: clock.Told(s.started, now), Age: max(0, now.Sub(s.started))}
	l.Idle = l.Age
	if active := s.active.Load(); active != 0 {
		l.Idle = max(0, l.Age-time.Duration(active))
	}
	if l.LoggedIn = s.begun.Load(); l.LoggedIn {
		l.ConnectionID = s.login.connectionID
		l.User, l.Database, l.Program = s.login.user.String(), s.login.database.String(), s.login.program.String()
	}
	return l
}
