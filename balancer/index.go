package balancer

import "time"

const (
	// blockSeats is how many seats an index sums up in one block: choosing looks at every block, and at the seats of one
	// or two of them.
	blockSeats = 32
	// indexedSeats is from where on an index is worth its upkeep.
	indexedSeats = 2 * blockSeats
	// mostKinds bounds how many kinds of requests an index serves: listeners of one pool ask for few different roles.
	mostKinds = 8
)

// index lets leastConnections choose among many seats without looking at each of them. It knows the least load of every
// block of seats until one of them changes. The zero value is ready for use; whoever changes seats must say so.
type index struct {
	kinds []kind
}

// kind is what an index knows for requests of one kind.
type kind struct {
	roles     roleSet
	backup    bool
	slowStart time.Duration
	blocks    []block
}

// block sums up blockSeats seats, or fewer at the end.
type block struct {
	known bool // false once a seat has changed
	moves bool // a seat's share grows by itself: it is never known for long
	least load
}

// load is what a seat would have with one more session; shares weigh it. The zero value is that of no seat.
type load struct{ sessions, share int64 }

func (l load) none() bool { return l.share == 0 }

// less compares loads for their shares.
func (l load) less(than load) bool { return l.sessions*than.share < than.sessions*l.share }

// load is what the seat's would be with one more session.
func (s *seat) load(r *round) load {
	return load{int64(s.sessions) + 1, s.share(r.now, r.slowStart)}
}

// changed says that a seat is not what it was.
func (x *index) changed(i int) {
	for k := range x.kinds {
		x.kinds[k].blocks[i/blockSeats].known = false
	}
}

// reset says that there are other seats.
func (x *index) reset() { x.kinds = nil }

// pick is leastConnections for a round in which no seat has been tried.
func (x *index) pick(r *round) int {
	k := x.kind(r)
	least := k.least(r)
	if least.none() {
		return -1
	}
	first := r.start / blockSeats
	if i := k.find(r, least, first, r.start, len(r.seats)); i >= 0 {
		return i
	}
	for n := 1; n < len(k.blocks); n++ {
		if i := k.find(r, least, (first+n)%len(k.blocks), 0, len(r.seats)); i >= 0 {
			return i
		}
	}
	return k.find(r, least, first, 0, r.start)
}

// kind finds what is known for requests like this one.
func (x *index) kind(r *round) *kind {
	for i := range x.kinds {
		if k := &x.kinds[i]; k.roles == r.roles && k.backup == r.backup && k.slowStart == r.slowStart {
			return k
		}
	}
	if len(x.kinds) == mostKinds {
		x.reset()
	}
	x.kinds = append(x.kinds, kind{roles: r.roles, backup: r.backup, slowStart: r.slowStart,
		blocks: make([]block, (len(r.seats)+blockSeats-1)/blockSeats)})
	return &x.kinds[len(x.kinds)-1]
}

// least is the least load of all seats that may be chosen.
func (k *kind) least(r *round) load {
	var least load
	for i := range k.blocks {
		b := &k.blocks[i]
		if !b.known || b.moves {
			b.sumUp(r, i*blockSeats)
		}
		if !b.least.none() && (least.none() || b.least.less(least)) {
			least = b.least
		}
	}
	return least
}

// sumUp looks at the seats of a block that begins at from.
func (b *block) sumUp(r *round, from int) {
	*b = block{known: true}
	for i := from; i < min(from+blockSeats, len(r.seats)); i++ {
		s := &r.seats[i]
		b.moves = b.moves || s.growing(r.now, r.slowStart)
		if !r.eligible(i) {
			continue
		}
		if l := s.load(r); b.least.none() || l.less(b.least) {
			b.least = l
		}
	}
}

// find looks in a block for the first seat from from to before to that has the least load; -1 when there is none.
func (k *kind) find(r *round, least load, block, from, to int) int {
	if b := &k.blocks[block]; b.least.none() || least.less(b.least) {
		return -1
	}
	from, to = max(from, block*blockSeats), min(to, (block+1)*blockSeats)
	for i := from; i < to; i++ {
		if r.eligible(i) && !least.less(r.seats[i].load(r)) {
			return i
		}
	}
	return -1
}
