package balancer

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// seat is what a policy sees of a backend. The pool keeps the seats of its backends side by side in memory, so that
// choosing among many touches few cache lines.
type seat struct {
	sessions int32
	max      int32 // cap on sessions; 0 means none
	weight   int32
	open     bool // its state and its addresses allow new sessions
	backup   bool
	role     roleSet
	turn     int64 // of round robin: what it has coming
	hash     uint64
	ramp     time.Time // when it came back, while it starts slowly; else zero
}

// full tells whether the backend is at its cap.
func (s *seat) full() bool { return s.max > 0 && s.sessions >= s.max }

// growing tells whether it starts slowly at present.
func (s *seat) growing(now time.Time, slowStart time.Duration) bool {
	return slowStart > 0 && !s.ramp.IsZero() && now.Sub(s.ramp) < slowStart
}

// share is the weight that counts now, in 256ths: a backend that came back grows from a tenth of its weight to all of it.
func (s *seat) share(now time.Time, slowStart time.Duration) int64 {
	whole := int64(s.weight) << 8
	if !s.growing(now, slowStart) {
		return whole
	}
	grown := whole * int64(now.Sub(s.ramp)/time.Microsecond) / int64(slowStart/time.Microsecond+1)
	return max(grown, whole/10, 1)
}

// grown is the part of its weight that counts, while it starts slowly; else 0.
func (s *seat) grown(now time.Time, slowStart time.Duration) float64 {
	whole := int64(s.weight) << 8
	if share := s.share(now, slowStart); share < whole {
		return float64(share) / float64(whole)
	}
	return 0
}

// round is one choice: which seats may be taken, and what a policy may take into account.
type round struct {
	seats     []seat
	index     *index // of the seats; may be nil
	start     int    // where a search begins, so that equals take turns
	backup    bool   // choose among the backups
	roles     roleSet
	tried     []uint64
	source    netip.Addr
	now       time.Time
	slowStart time.Duration
}

// eligible tells whether a seat may be chosen.
func (r *round) eligible(i int) bool {
	s := &r.seats[i]
	return s.open && s.backup == r.backup && r.roles.wants(s.role) && s.weight > 0 && !s.full() && !r.hasTried(i)
}

func (r *round) hasTried(i int) bool {
	return i/64 < len(r.tried) && r.tried[i/64]&(1<<(i%64)) != 0
}

// anyFull tells whether a seat is worth waiting for: it could be chosen, but is full.
func (r *round) anyFull() bool {
	for i := range r.seats {
		if s := &r.seats[i]; s.open && s.backup == r.backup && r.roles.wants(s.role) && s.weight > 0 && s.full() && !r.hasTried(i) {
			return true
		}
	}
	return false
}

// pick returns the index of the chosen seat, or -1 when none is eligible.
func (p Policy) pick(r *round) int {
	switch p {
	case RoundRobin:
		return roundRobin(r)
	case SourceHash:
		return sourceHash(r)
	default:
		return leastConnections(r)
	}
}

// leastConnections picks the seat that would have the fewest sessions for its weight with one more. Equals take turns,
// from start on.
func leastConnections(r *round) int {
	if r.index != nil && len(r.tried) == 0 {
		return r.index.pick(r)
	}
	best, least := -1, load{}
	for k := range r.seats {
		i := r.start + k
		if i >= len(r.seats) {
			i -= len(r.seats)
		}
		if !r.eligible(i) {
			continue
		}
		if l := r.seats[i].load(r); best < 0 || l.less(least) {
			best, least = i, l
		}
	}
	return best
}

// roundRobin takes seats in turn, by weight and evenly mixed: each round every seat gains its weight, the richest is
// chosen and pays what all have gained.
func roundRobin(r *round) int {
	best, total := -1, int64(0)
	for i := range r.seats {
		if !r.eligible(i) {
			continue
		}
		s := &r.seats[i]
		share := s.share(r.now, r.slowStart)
		s.turn += share
		total += share
		if best < 0 || s.turn > r.seats[best].turn {
			best = i
		}
	}
	if best >= 0 {
		r.seats[best].turn -= total
	}
	return best
}

// sourceHash lets each seat draw a number from the client's address and its own name, and picks the highest, weighed:
// when a seat is lost only its clients draw again (weighted rendezvous hashing, Schindelhauer and Schomaker 2005). Slow
// start has no say, for it would move clients about.
func sourceHash(r *round) int {
	best, highest := -1, math.Inf(-1)
	source := hashAddr(r.source)
	for i := range r.seats {
		if !r.eligible(i) {
			continue
		}
		s := &r.seats[i]
		drawn := (float64(mix(source^s.hash)>>11) + 0.5) / (1 << 53) // in (0, 1)
		if score := -float64(s.weight) / math.Log(drawn); score > highest {
			best, highest = i, score
		}
	}
	return best
}

// hashAddr hashes a client's address; its port has no part in it.
func hashAddr(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:8])) ^ mix(binary.BigEndian.Uint64(b[8:])+1)
}

// hashName hashes a backend's name (FNV-1a), the same in every process so that two nodes lead a client alike.
func hashName(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return mix(h)
}

// mix spreads every bit of x over all of the result (two rounds of multiply and fold).
func mix(x uint64) uint64 {
	hi, lo := bits.Mul64(x^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	hi, lo = bits.Mul64(hi^lo^0xa0761d6478bd642f, 0xe7037ed1a0b428db)
	return hi ^ lo
}
