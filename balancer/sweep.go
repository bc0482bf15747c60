package balancer

import (
	"context"
	"time"

	"fairlead/balancer/splice"
)

const (
	// sweepEvery is how often orders are looked at that end sessions.
	sweepEvery = 250 * time.Millisecond
	// idleFor is how long nothing has moved in a session that counts as idle. Clients take a connection from their pool,
	// look whether it is alive, and use it within milliseconds; those that leave out the look where the connection has been used
	// just now (HikariCP: within 500 ms) are left alone for longer than that.
	idleFor = time.Second
	// fewest is how many idle sessions one look ends at least, if there are so many; of many more it ends an eighth, so that
	// they come back elsewhere by and by.
	fewest = 50
)

// sweep carries out, again and again, what orders say of sessions.
func (b *Balancer) sweep(ctx context.Context) {
	every := time.NewTicker(sweepEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			for _, p := range b.now().allPools() {
				b.sweepPool(p, time.Now())
			}
			for _, p := range b.now().pools {
				b.rebalance(p, time.Now())
			}
		}
	}
}

// sweepPool does it for one pool, once.
func (b *Balancer) sweepPool(p *Pool, now time.Time) {
	for _, backend := range p.holding() {
		o := p.standing(backend)
		switch {
		case !o.Deadline.IsZero() && !now.Before(o.Deadline):
			p.cutAll(backend)
		case o.CloseIdle:
			all := p.joined(backend)
			b.engine.EndIdle(all, idleFor, max(fewest, len(all)/8), splice.DrainedIdle)
		}
	}
}

// joined are the sessions of a backend that are set up.
func (p *Pool) joined(b *Backend) []splice.Task {
	var all []splice.Task
	for _, s := range p.holders(b) {
		if s.begun.Load() {
			all = append(all, s.task)
		}
	}
	return all
}

// standing is the order that stands for a backend, if it has sessions left.
func (p *Pool) standing(b *Backend) Standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.sessions == 0 || b.mu.standing.Order == Enable {
		return Standing{}
	}
	return b.mu.standing
}

// cutAll ends all sessions of a backend whose deadline has passed, set-ups among them.
func (p *Pool) cutAll(b *Backend) {
	left := p.holders(b)
	fresh := uint64(0)
	for _, s := range left {
		if s.condemn(splice.Drained) {
			fresh++
		}
	}
	if fresh == 0 {
		return
	}
	p.mu.Lock()
	b.mu.cut += fresh
	p.mu.Unlock()
	p.log.Warn("deadline of the drain has passed: cutting the sessions that are left", "backend", b.Name, "sessions", fresh)
}
