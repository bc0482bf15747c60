package balancer

import (
	"context"
	"time"

	"fairlead/balancer/splice"
)

// sweepEvery is how often orders are looked at that end sessions.
const sweepEvery = 250 * time.Millisecond

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
				p.sweep(time.Now())
			}
		}
	}
}

// sweep does it for one pool, once.
func (p *Pool) sweep(now time.Time) {
	for _, b := range p.holding() {
		if o := p.standing(b); !o.Deadline.IsZero() && !now.Before(o.Deadline) {
			p.cutAll(b)
		}
	}
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
		if !s.overdue.Swap(true) {
			fresh++
			s.task.Cut(splice.Drained)
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
