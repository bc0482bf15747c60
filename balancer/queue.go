package balancer

import "slices"

// ticket is a place in the queue. Its fields are guarded by the pool's lock.
type ticket struct {
	request  Request
	waiting  waker
	answered bool   // and out of the queue
	lease    *Lease // once answered; nil when no backend was left that was worth waiting for
}

// waker is a session that waits; a splice.Task is one.
type waker interface{ Wake() }

// enqueue is Acquire for a session that can wait: where Acquire gives ErrFull and the queue has room, it gives a ticket,
// and waiting is woken once the ticket holds a lease.
func (p *Pool) enqueue(r Request, waiting waker) (*Lease, *ticket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, err := p.acquire(r)
	if err != ErrFull || len(p.mu.queue) >= p.config.Load().Queue {
		return l, nil, err
	}
	t := &ticket{request: r, waiting: waiting}
	p.mu.queue = append(p.mu.queue, t)
	return nil, t, nil
}

// leave takes a ticket out of the queue, and returns the lease that it may have got.
func (p *Pool) leave(t *ticket) *Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.mu.queue, t); i >= 0 {
		p.dequeue(i)
	}
	return t.lease
}

// answered tells whether there is nothing more to wait for: the ticket holds a lease, or never will.
func (p *Pool) answered(t *ticket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return t.answered
}

// serveQueue gives places that have become free to those who wait, the first come first. Who can't be served holds up
// only those who want the same roles.
func (p *Pool) serveQueue() {
	var full []tiers
	for i := 0; i < len(p.mu.queue); {
		t := p.mu.queue[i]
		if slices.ContainsFunc(full, func(roles tiers) bool { return slices.Equal(roles, t.request.tiers) }) {
			i++
			continue
		}
		l, err := p.acquire(t.request)
		if err == ErrFull {
			if len(t.request.Tried) == 0 {
				full = append(full, t.request.tiers)
			}
			i++
			continue
		}
		p.dequeue(i)
		t.lease, t.answered = l, true
		t.waiting.Wake()
	}
}

func (p *Pool) dequeue(i int) {
	if i == 0 { // nearly always, and the queue may be long
		p.mu.queue[0] = nil
		p.mu.queue = p.mu.queue[1:]
		return
	}
	p.mu.queue = slices.Delete(p.mu.queue, i, i+1)
}
