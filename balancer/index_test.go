package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever happens to the seats, an index chooses as a look at each of them would.
func TestIndexChoosesAsALookAtEachSeatDoes(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		now := time.Unix(1_700_000_000, 0)
		seats := make([]seat, indexedSeats+rng.IntN(200))
		for i := range seats {
			seats[i] = bench(1 + rng.Int32N(3))
			seats[i].sessions = rng.Int32N(4)
		}
		indexed := round{seats: seats, index: &index{}, slowStart: 30 * time.Second}
		alter := func() *seat {
			i := rng.IntN(len(indexed.seats))
			indexed.index.changed(i)
			return &indexed.seats[i]
		}
		for step := range 3000 {
			switch rng.IntN(14) {
			case 0:
				s := alter()
				s.open = !s.open
			case 1:
				s := alter()
				s.backup = !s.backup
			case 2:
				alter().role = newRoleSet([]Role{Leader, Follower, Observer, ""}[rng.IntN(4)])
			case 3:
				alter().weight = rng.Int32N(4)
			case 4:
				alter().max = rng.Int32N(6)
			case 5:
				alter().ramp = now
			case 6:
				if step%10 == 0 {
					indexed.seats = indexed.seats[:max(indexedSeats, len(indexed.seats)-rng.IntN(40))]
					indexed.index.reset()
				}
			case 7, 8, 9:
				if s := alter(); s.sessions > 0 {
					s.sessions--
				}
			}
			now = now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
			indexed.now, indexed.start = now, rng.IntN(len(indexed.seats))
			indexed.backup, indexed.roles = rng.IntN(4) == 0, []roleSet{0, 0, 1, 2, 6}[rng.IntN(5)]
			plain := indexed
			plain.index = nil
			want, got := leastConnections(&plain), leastConnections(&indexed)
			if got != want {
				t.Fatalf("seed %d, step %d: seat %d is chosen, want %d of %d", seed, step, got, want, len(indexed.seats))
			}
			if got >= 0 {
				indexed.seats[got].sessions++
				indexed.index.changed(got)
			}
		}
	}
}

// A pool of many backends spreads its sessions evenly, also while backends come and go.
func TestManyBackendsAreLoadedEvenly(t *testing.T) {
	r := newRig(t, nil)
	var names []string
	for i := range 3 * indexedSeats {
		names = append(names, fmt.Sprintf("fe%d", i))
	}
	r.join(nil, names...)
	var leases []*Lease
	for range 5 * len(names) {
		leases = append(leases, r.take("", Request{}))
	}
	loads := map[string]int{}
	for _, l := range leases {
		loads[l.Backend.Name]++
	}
	for _, name := range names {
		if loads[name] != 5 {
			t.Errorf("%s has %d sessions, want 5", name, loads[name])
		}
	}
	for _, l := range leases[:len(names)] {
		l.Release()
	}
	r.remove(leases[0].Backend)
	for range len(names) - 1 {
		if l := r.take("", Request{}); l.Backend == leases[0].Backend {
			t.Fatal("a backend is chosen that was removed")
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, s := range r.mu.seats {
		if s.sessions != 5 {
			t.Errorf("seat %d has %d sessions, want 5", i, s.sessions)
		}
	}
}
