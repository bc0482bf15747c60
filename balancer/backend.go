package balancer

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"fairlead/metrics"
)

// State of a backend, as people see it. Unknown and Up take new sessions.
type State uint8

const (
	// Unknown is a backend of which there is no verdict yet.
	Unknown State = iota
	Up
	// Draining keeps its sessions and takes no new ones: it is leaving, or a person said so.
	Draining
	Down
	// Disabled by a person: no sessions, whatever its health.
	Disabled
)

var stateNames = [...]string{Unknown: "unknown", Up: "up", Draining: "draining", Down: "down", Disabled: "disabled"}

// String is the state's name in logs, metrics and status.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state_%d", uint8(s))
}

// MarshalText gives the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes a name.
func (s *State) UnmarshalText(text []byte) error {
	for state, name := range stateNames {
		if name == string(text) {
			*s = State(state)
			return nil
		}
	}
	return fmt.Errorf("balancer: no state of a backend is called %q", text)
}

// takes tells whether new sessions go there.
func (s State) takes() bool { return s == Unknown || s == Up }

// Verdict is what probes have found, after rise and fall.
type Verdict uint8

const (
	// Undecided is no verdict: too little is known.
	Undecided Verdict = iota
	Fit
	Unfit
	// Leaving is a server that still answers and has said that it is about to go.
	Leaving
)

// condition is all that decides a backend's state. It is a value, and what follows from it depends on nothing else.
type condition struct {
	verdict Verdict
	order   Order
	// suspect is set by live traffic that met a refused, reset or silent connect, and cleared by the verdict of a probe
	// that began later.
	suspect bool
}

// state derives the state: a person's word first, then what is known to be bad, then what is known to be good.
func (c condition) state() State {
	switch {
	case c.order == Disable:
		return Disabled
	case c.bad():
		return Down
	case c.order == Drain || c.verdict == Leaving:
		return Draining
	case c.verdict == Fit:
		return Up
	}
	return Unknown
}

// bad tells whether there is evidence against the backend, whatever a person says.
func (c condition) bad() bool { return c.suspect || c.verdict == Unfit }

// judged is the condition after a report of the probes; fresh tells that the probe began after the suspicion, if there
// is one. What began before it can't clear it, and to know nothing changes nothing.
func (c condition) judged(v Verdict, fresh bool) condition {
	if v == Undecided || c.suspect && !fresh {
		return c
	}
	c.verdict, c.suspect = v, false
	return c
}

// suspected is the condition after live traffic met a failure.
func (c condition) suspected() condition {
	c.suspect = true
	return c
}

// ordered is the condition after a person's order.
func (c condition) ordered(o Order) condition {
	c.order = o
	return c
}

// Probe is what the latest probe of a backend has found, for status and for people.
type Probe struct {
	At                time.Time
	Verdict           Verdict // after rise and fall
	Reason            string  // empty when all is well
	Version           string
	Role              string // leader, follower, observer, or empty when unknown
	RoleKnown         bool
	Connect, Greeting time.Duration
}

// Backend is one server of a pool. Its fields behind the pool's lock are in mu.
type Backend struct {
	// Pool, Name and Host never change.
	Pool *Pool
	Name string
	Host string

	metrics   *metrics.Backend
	addresses atomic.Pointer[[]netip.AddrPort] // in order of preference; nil until resolved
	bad       atomic.Bool                      // as its condition

	mu struct { // guarded by Pool.mu
		seat       int // its index among the pool's seats; -1 once removed
		config     BackendConfig
		condition  condition
		since      time.Time
		bequeathed bool // its order has passed to the member that takes its place
		unproven   bool // found by discovery, and not yet by a probe: it takes no sessions
		role       Role
		roleFrom   RoleSource // empty while the role is unknown
		reason     string     // for its state
		trouble    string     // the latest evidence against it
		suspectAt  time.Time
		succeeded  time.Time // the latest sign of life: a greeting in a session or a probe
		probe      Probe
		leases     leaseList
		sessions   int
		former     int // sessions of processes from before an upgrade; its seat counts them too
		total      uint64
		failures   uint64
		standing   Standing // the latest order
		cut        uint64   // sessions that its deadline has cut
	}
}

// Addresses are those that its name has now, the one that answered last first; empty until the name is resolved. The
// slice must not be changed.
func (b *Backend) Addresses() []netip.AddrPort {
	if a := b.addresses.Load(); a != nil {
		return *a
	}
	return nil
}

// String names the backend for people.
func (b *Backend) String() string { return b.Name }

// prefer puts the address that answered first in line.
func (b *Backend) prefer(address netip.AddrPort) {
	old := b.addresses.Load()
	if old == nil || (*old)[0] == address {
		return
	}
	sorted := []netip.AddrPort{address}
	for _, a := range *old {
		if a != address {
			sorted = append(sorted, a)
		}
	}
	if len(sorted) == len(*old) { // else the name has other addresses by now
		b.addresses.CompareAndSwap(old, &sorted)
	}
}
