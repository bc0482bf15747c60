package balancer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestANilLeaseHoldsNothing(t *testing.T) {
	var l *Lease
	l.Release()
}

// TestLeaseListKeepsItsLinks through additions and removals in any order.
func TestLeaseListKeepsItsLinks(t *testing.T) {
	seeded := rand.New(rand.NewPCG(7, 8))
	var list leaseList
	var held []*Lease
	for range 10_000 {
		if len(held) == 0 || seeded.IntN(20) < 11 {
			l := &Lease{}
			list.add(l)
			held = append(held, l)
		} else {
			i := seeded.IntN(len(held))
			list.remove(held[i])
			if held[i].held || held[i].prev != nil || held[i].next != nil {
				t.Fatalf("a lease that was removed is still linked: %+v", held[i])
			}
			held = slices.Delete(held, i, i+1)
		}
		found := map[*Lease]bool{}
		for l, before := list.first, (*Lease)(nil); l != nil; l, before = l.next, l {
			if l.prev != before || !l.held || found[l] {
				t.Fatalf("the list is broken at %+v", l)
			}
			found[l] = true
		}
		if len(found) != len(held) {
			t.Fatalf("%d leases are in the list, want %d", len(found), len(held))
		}
		if len(held) > 100 {
			for _, l := range held {
				list.remove(l)
			}
			held = nil
		}
	}
}
