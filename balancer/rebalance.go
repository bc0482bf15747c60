package balancer

import (
	"math"
	"math/rand/v2"
	"time"

	"fairlead/balancer/splice"
)

// Rebalance says what becomes of long-lived sessions when some backends have more than their share, as after one has come
// back. Empty is as RebalanceOff.
type Rebalance string

const (
	// RebalanceOff leaves them where they are.
	RebalanceOff Rebalance = "off"
	// RebalanceIdle ends those that are idle between statements, by and by, so that their clients come back elsewhere.
	RebalanceIdle Rebalance = "idle"
)

const (
	// rebalanceEvery is the time between two steps, on the average: each is drawn from half of it to one and a half, so that
	// several nodes do not end sessions in step.
	rebalanceEvery = time.Second
	// A step ends a twentieth of a surplus, and mostAStep at most: the backends that take the sessions in feel no rush of logins.
	partOfSurplus = 20
	mostAStep     = 50
	// fading is how much of the sessions that have not come back is remembered after a second. Half is forgotten after 69 s.
	fading = 0.99
)

// held is what rebalancing sees of a backend.
type held struct {
	sessions int
	weight   int // 0 for one that should have none
	room     int // how many more it may have
}

// surplus chooses the backend with the most sessions over its share of total, of those that have more than spread percent
// over it. most is how many may leave it: no more than its surplus, and than the others lack of their shares and have room
// for. i is -1 when there is nothing to do.
func surplus(loads []held, total float64, spread int) (i, most int) {
	weights := 0
	for _, l := range loads {
		weights += l.weight
	}
	i = -1
	if weights == 0 {
		return i, 0
	}
	share := func(l held) float64 { return total * float64(l.weight) / float64(weights) }
	for k, l := range loads {
		over := l.sessions - int(math.Ceil(share(l)))
		if over > most && float64(l.sessions) > share(l)*(1+float64(spread)/100) {
			i, most = k, over
		}
	}
	lacking := 0
	for k, l := range loads {
		if k != i {
			lacking += max(0, min(int(math.Ceil(share(l)))-l.sessions, l.room))
		}
	}
	if most = min(most, lacking); most == 0 {
		return -1, 0
	}
	return i, most
}

// rebalancing is a pool's state between two steps. Only the sweep touches it.
type rebalancing struct {
	next time.Time // step
	last time.Time
	// peaks are the sessions of each group, with those that have been here lately and may come back: shares are counted of them,
	// so that clients who take their time are not taken for a smaller load.
	peaks map[roleSet]float64
	ended int // since it has begun
}

// due tells whether a step is due.
func (r *rebalancing) due(now time.Time) bool {
	if now.Before(r.next) {
		return false
	}
	r.next = now.Add(rebalanceEvery/2 + rand.N(rebalanceEvery))
	return true
}

// total is the load of a group to share out, given its sessions.
func (r *rebalancing) total(roles roleSet, sessions int, now time.Time) float64 {
	was, is := r.peaks[roles], float64(sessions)
	if was > is && !r.last.IsZero() {
		is += (was - is) * math.Pow(fading, now.Sub(r.last).Seconds())
	}
	r.peaks[roles] = is
	return is
}

// group are backends that stand in for each other.
type group struct {
	backends []*Backend
	loads    []held
	sessions int
}

// groups are the members that are up and past their slow start, by their roles: what came for one role is not sent to
// another. Beside others that are up, backups should have no sessions.
func (p *Pool) groups(now time.Time) map[roleSet]*group {
	slowStart := p.config.Load().SlowStart
	p.mu.Lock()
	defer p.mu.Unlock()
	all, served := map[roleSet]*group{}, map[roleSet]bool{}
	for i := range p.mu.seats {
		if s := &p.mu.seats[i]; s.settled(p.mu.backends[i], now, slowStart) && !s.backup {
			served[s.role] = true
		}
	}
	for i, b := range p.mu.backends {
		s := &p.mu.seats[i]
		if !s.settled(b, now, slowStart) {
			continue
		}
		l := held{sessions: int(s.sessions), weight: int(s.weight), room: math.MaxInt32}
		if s.max > 0 {
			l.room = max(0, int(s.max-s.sessions))
		}
		if s.backup && served[s.role] {
			l.weight = 0
		}
		g := all[s.role]
		if g == nil {
			g = &group{}
			all[s.role] = g
		}
		g.backends, g.loads, g.sessions = append(g.backends, b), append(g.loads, l), g.sessions+l.sessions
	}
	return all
}

// settled tells whether a backend takes its full share.
func (s *seat) settled(b *Backend, now time.Time, slowStart time.Duration) bool {
	return b.mu.condition.state() == Up && s.open && s.weight > 0 && !s.growing(now, slowStart)
}

// rebalance ends some idle sessions of the fullest backends, if it is time for that.
func (b *Balancer) rebalance(p *Pool, now time.Time) {
	config, r := p.config.Load(), &p.rebalancing
	if config.Rebalance != RebalanceIdle {
		*r = rebalancing{}
		return
	}
	if !r.due(now) {
		return
	}
	if r.peaks == nil {
		r.peaks = map[roleSet]float64{}
	}
	balanced := true
	for roles, g := range p.groups(now) {
		i, most := surplus(g.loads, r.total(roles, g.sessions, now), config.RebalanceSpread)
		if i < 0 {
			continue
		}
		balanced = false
		tasks := p.joined(g.backends[i])
		rand.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
		n := b.engine.EndIdle(tasks, idleFor, min(mostAStep, (most+partOfSurplus-1)/partOfSurplus), splice.Rebalanced)
		if n > 0 && r.ended == 0 {
			p.log.Info("rebalancing: idle sessions are ended", "backend", g.backends[i].Name, "sessions", g.loads[i].sessions, "surplus", most)
		}
		r.ended += n
	}
	r.last = now
	if balanced && r.ended > 0 {
		p.log.Info("rebalanced", "sessions_ended", r.ended)
		r.ended = 0
	}
}
