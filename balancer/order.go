package balancer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fairlead/internal/clock"
)

// Order is what a person has said of a backend. It stands until another order.
type Order uint8

const (
	// Enable leaves the backend to its health.
	Enable Order = iota
	// Drain keeps its sessions and lets no new ones in.
	Drain
	// Disable lets no new ones in and counts the backend as out of service.
	Disable
)

var orderNames = [...]string{Enable: "enable", Drain: "drain", Disable: "disable"}

// String is the order as a command.
func (o Order) String() string {
	if int(o) < len(orderNames) {
		return orderNames[o]
	}
	return fmt.Sprintf("order_%d", uint8(o))
}

// MarshalText gives the command.
func (o Order) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText takes a command.
func (o *Order) UnmarshalText(text []byte) error {
	for order, name := range orderNames {
		if name == string(text) {
			*o = Order(order)
			return nil
		}
	}
	return fmt.Errorf("balancer: no order is called %q", text)
}

// Standing is an order that was given for a backend: who gave it and when, and what becomes of the backend's sessions. The
// zero value is no order.
type Standing struct {
	Pool    string `json:"pool"`
	Backend string `json:"backend"`
	Order   Order  `json:"order"`
	// By names who gave it, as far as that is known.
	By string    `json:"by,omitempty"`
	At time.Time `json:"at"`
	// CloseIdle ends sessions as soon as they are idle between statements.
	CloseIdle bool `json:"close_idle,omitempty"`
	// Deadline is when the sessions that are left are cut; zero lets them go on.
	Deadline time.Time `json:"deadline,omitzero"`
}

// told is the order for another process, heard one that another process has told.
func (o Standing) told(now time.Time) Standing {
	o.At, o.Deadline = clock.Told(o.At, now), clock.Told(o.Deadline, now)
	return o
}

func (o Standing) heard(now time.Time) Standing {
	o.At, o.Deadline = clock.Kept(o.At, now), clock.Kept(o.Deadline, now)
	return o
}

// told is each of the orders for another process.
func told(orders []Standing, now time.Time) []Standing {
	var all []Standing
	for _, o := range orders {
		all = append(all, o.told(now))
	}
	return all
}

// reason is the order in a backend's status and in the log.
func (o Standing) reason() string {
	if o.By == "" {
		return o.Order.String() + " ordered"
	}
	return o.Order.String() + " ordered by " + o.By
}

// ErrRemoved is an order for a backend that is no member of its pool any more.
var ErrRemoved = errors.New("balancer: the backend is no member of its pool any more")

// Order carries out what a person has said of a backend; pool and backend of o are filled in, and so is a time that is
// zero. The order stands until the next one. Errors: ErrRemoved.
func (p *Pool) Order(b *Backend, o Standing) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat < 0 {
		return ErrRemoved
	}
	p.obey(b, o)
	return nil
}

// obey is Order with the pool locked.
func (p *Pool) obey(b *Backend, o Standing) {
	o.Pool, o.Backend = p.name, b.Name
	if o.At.IsZero() {
		o.At = time.Now()
	}
	b.mu.standing, b.mu.cut = o, 0
	c := b.mu.condition.ordered(o.Order)
	reason := o.reason()
	if c.state() == Down {
		reason = b.mu.trouble // it is not the person's doing
	}
	p.change(b, c, reason)
}

// mostAbsent bounds the orders that are kept for backends that are no members: where members come and go under ever new
// names, most of these never come back.
const mostAbsent = 100

// keepAbsent remembers the order for a backend that is no member, until it is one again.
func (p *Pool) keepAbsent(o Standing) {
	p.mu.absent = slices.DeleteFunc(p.mu.absent, func(old Standing) bool { return old.Backend == o.Backend })
	p.mu.absent = append(p.mu.absent, o)
	if len(p.mu.absent) > mostAbsent {
		p.mu.absent = p.mu.absent[1:]
	}
}

// recall gives a new member the order that was kept for it.
func (p *Pool) recall(b *Backend) {
	i := slices.IndexFunc(p.mu.absent, func(o Standing) bool { return o.Backend == b.Name })
	if i < 0 {
		return
	}
	o := p.mu.absent[i]
	p.mu.absent = slices.Delete(p.mu.absent, i, i+1)
	p.obey(b, o)
}

// Orders are all that stand, those for backends that are no members now among them, for another process.
func (b *Balancer) Orders() []Standing {
	var all []Standing
	now := time.Now()
	for _, p := range b.now().pools {
		p.mu.Lock()
		for _, member := range p.mu.backends {
			if member.mu.standing.Order != Enable {
				all = append(all, member.mu.standing.told(now))
			}
		}
		all = append(all, told(p.mu.absent, now)...)
		p.mu.Unlock()
	}
	return all
}

// Restore gives orders that stood in an earlier process. Those for backends that are not members yet are kept for them;
// those for pools that are not there are returned.
func (b *Balancer) Restore(orders []Standing) (lost []Standing) {
	now := time.Now()
	for _, o := range orders {
		o = o.heard(now)
		p := b.Pool(o.Pool)
		if p == nil || o.Order == Enable {
			lost = append(lost, o)
			continue
		}
		p.mu.Lock()
		if member := p.member(o.Backend); member != nil {
			p.obey(member, o)
		} else {
			p.keepAbsent(o)
		}
		p.mu.Unlock()
	}
	return lost
}

// EnableAbsent forgets the order for a backend that is no member, which word names, perhaps with its pool and a slash
// before. It reports false when there is none.
func (b *Balancer) EnableAbsent(word string) (Standing, bool) {
	for _, p := range b.now().pools {
		p.mu.Lock()
		i := slices.IndexFunc(p.mu.absent, func(o Standing) bool {
			return o.Backend == word || o.Backend == strings.TrimPrefix(word, p.name+"/")
		})
		if i >= 0 {
			o := p.mu.absent[i]
			p.mu.absent = slices.Delete(p.mu.absent, i, i+1)
			p.mu.Unlock()
			return o, true
		}
		p.mu.Unlock()
	}
	return Standing{}, false
}
