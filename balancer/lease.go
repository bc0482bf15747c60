package balancer

import "fairlead/balancer/splice"

// Lease is one counted session on one backend. It is given by Pool.Acquire, and Release gives it back, once.
type Lease struct {
	Backend *Backend
	holder  *session
	// lastResort tells that the backend was believed to be down already when the lease was given.
	lastResort bool

	// Guarded by the pool's lock:
	prev, next *Lease
	held       bool
}

// Release gives the place back. More than one call is as good as one; a nil Lease holds nothing.
func (l *Lease) Release() {
	if l != nil {
		l.Backend.Pool.release(l)
	}
}

// leaseList links the leases that are held on a backend, so that its sessions can be found when it goes down.
type leaseList struct{ first *Lease }

func (list *leaseList) add(l *Lease) {
	l.held = true
	l.next = list.first
	if l.next != nil {
		l.next.prev = l
	}
	list.first = l
}

func (list *leaseList) remove(l *Lease) {
	l.held = false
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		list.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// joined returns the sessions of all leases that are set up.
func (list *leaseList) joined() []splice.Task {
	var all []splice.Task
	for l := list.first; l != nil; l = l.next {
		if l.holder != nil && l.holder.begun.Load() {
			all = append(all, l.holder.task)
		}
	}
	return all
}
