package balancer

import (
	"net/netip"
	"slices"

	"fairlead/balancer/splice"
)

// doorPlan says which listening sockets listeners are to have.
type doorPlan struct {
	wanted  [][]*door // of each listener of the configuration: those of its addresses, and perhaps companions
	fresh   []*door   // opened for it, and not accepting yet
	closing []*door   // not wanted any more
}

// openDoors finds the listening sockets for listeners among those that there are, and opens those that are missing: all of
// them or, with an error, none. One that has the right address is kept, whatever the listener's name was.
func (b *Balancer) openDoors(wanted []ListenerConfig, present []*Listener) (doorPlan, error) {
	plan := doorPlan{wanted: make([][]*door, len(wanted)), closing: slices.Clone(b.displaced)}
	for _, l := range present {
		plan.closing = append(plan.closing, l.doors()...)
	}
	for i, c := range wanted {
		plan.wanted[i] = make([]*door, len(c.Bind))
		for k, address := range c.Bind {
			plan.wanted[i][k] = plan.take(c.Name, address)
		}
	}
	for i, c := range wanted {
		for k, address := range c.Bind {
			if plan.wanted[i][k] == nil {
				plan.wanted[i][k] = plan.take("", address)
			}
		}
	}
	if err := b.openMissing(&plan, wanted); err != nil {
		for _, d := range plan.fresh {
			d.acceptor.Close()
		}
		return doorPlan{}, err
	}
	plan.keepCompanions(wanted)
	return plan, nil
}

// take finds a socket with an address, of a listener or, without a name, of any. Port 0 is another port each time, and so
// stays where it belongs.
func (p *doorPlan) take(name string, address netip.AddrPort) *door {
	i := slices.IndexFunc(p.closing, func(d *door) bool {
		return d.configured == address && (d.listener.Load().name == name || name == "" && address.Port() != 0)
	})
	if i < 0 {
		return nil
	}
	d := p.closing[i]
	p.closing = slices.Delete(p.closing, i, i+1)
	return d
}

func (b *Balancer) openMissing(plan *doorPlan, wanted []ListenerConfig) error {
	for i, c := range wanted {
		for k, address := range c.Bind {
			if plan.wanted[i][k] != nil {
				continue
			}
			d, err := b.newDoor(c, address, plan.overlapping(address))
			if err != nil {
				return err
			}
			plan.wanted[i][k], plan.fresh = d, append(plan.fresh, d)
		}
	}
	return nil
}

// overlapping are the sockets about to be closed whose addresses overlap with another one.
func (p *doorPlan) overlapping(address netip.AddrPort) []splice.Acceptor {
	var all []splice.Acceptor
	for _, d := range p.closing {
		if Overlap(d.acceptor.Address(), address) {
			all = append(all, d.acceptor)
		}
	}
	return all
}

// keepCompanions keeps the sockets whose address another one covers now, such as 127.0.0.1:9030 beside 0.0.0.0:9030: a
// close would turn away those who are just connecting there.
func (p *doorPlan) keepCompanions(wanted []ListenerConfig) {
	for i, c := range wanted {
		for _, address := range c.Bind {
			if !address.Addr().IsUnspecified() {
				continue
			}
			p.closing = slices.DeleteFunc(p.closing, func(d *door) bool {
				covered := !d.configured.Addr().IsUnspecified() && Overlap(d.acceptor.Address(), address)
				if covered {
					p.wanted[i] = append(p.wanted[i], d)
				}
				return covered
			})
		}
	}
}

// closeUnwanted closes what is not wanted any more. What a new one overlaps with is closed a moment later, by the next
// clear: there may be clients who have begun to connect there, and belong to the new one.
func (b *Balancer) closeUnwanted(p doorPlan) {
	b.displaced = nil
	for _, d := range p.closing {
		i := slices.IndexFunc(p.fresh, func(f *door) bool { return Overlap(f.acceptor.Address(), d.acceptor.Address()) })
		if i < 0 {
			d.acceptor.Close()
			continue
		}
		d.listener.Store(p.fresh[i].listener.Load())
		b.displaced = append(b.displaced, d)
	}
}

func (b *Balancer) closeDisplaced() {
	for _, d := range b.displaced {
		d.acceptor.Close()
	}
	b.displaced = nil
}
