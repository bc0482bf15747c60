package balancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// lookupTimeout bounds one look-up of a name.
	lookupTimeout = 5 * time.Second
	// lookupRetry is the pause after a look-up that failed, where resolve_interval is longer.
	lookupRetry = time.Second
	// firstLookup is how long a start waits for names, so that the first client finds backends: a resolver that answers
	// does so within that time, and one that does not must not keep other pools from serving.
	firstLookup = 2 * time.Second
)

// lookup finds the addresses of a name; tests bring their own.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// resolver looks up the name of one configured backend again and again, off the path of connections, and keeps the
// pool's members in step: one backend with all addresses, or, with Expand, one for each.
type resolver struct {
	pool    *Pool
	mu      sync.Mutex // guards config, members and last
	config  BackendConfig
	host    string
	port    uint16
	lookup  lookup
	backend *Backend                    // without Expand
	members map[netip.AddrPort]*Backend // with it
	known   []netip.AddrPort
	failing bool
	last    NameStatus
	hurry   chan struct{} // of one element: look it up now

	unproven bool // members take no sessions before a probe has succeeded
}

// configure changes what members are configured with.
func (r *resolver) configure(c BackendConfig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config = c
	for _, b := range r.members {
		r.pool.reconfigure(b, c)
	}
}

// lookUp finds the addresses of a name, within a bounded time. There is at least one, or an error.
func lookUp(ctx context.Context, lookup lookup, host string) ([]netip.Addr, error) {
	bounded, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := lookup(bounded, host)
	if err == nil && len(found) == 0 {
		err = errors.New("no addresses")
	}
	return found, err
}

// run looks the name up until ctx is done. first hears of the end of the first look-up, however it went.
func (r *resolver) run(ctx context.Context, first chan<- struct{}) {
	for ok := r.look(ctx); ; ok = r.look(ctx) {
		if first != nil {
			select {
			case first <- struct{}{}:
			default: // discovery has brought more names meanwhile
			}
			first = nil
		}
		wait := r.pool.Config().ResolveInterval
		if !ok {
			wait = min(wait, lookupRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.hurry:
		case <-time.After(wait):
		}
	}
}

// lookNow has the name looked up at once: it may have to be looked up more often from now on.
func (r *resolver) lookNow() {
	select {
	case r.hurry <- struct{}{}:
	default:
	}
}

// look looks the name up once. A failure or an empty answer leaves the last good addresses in force.
func (r *resolver) look(ctx context.Context) bool {
	found, err := lookUp(ctx, r.lookup, r.host)
	if most := r.pool.Config().minimum(); err == nil && r.members != nil && len(found) < most && len(r.known) > len(found) {
		err = fmt.Errorf("%w: %d of at least %d", ErrTooFew, len(found), most)
	}
	if err != nil {
		if !r.failing && ctx.Err() == nil {
			r.pool.log.Warn("name does not resolve; keeping what is known", "host", r.host, "known", len(r.known), "error", err)
		}
		r.failing = true
		r.note(err)
		return false
	}
	if r.failing {
		r.pool.log.Info("name resolves again", "host", r.host)
		r.failing = false
	}
	addresses := r.addresses(found)
	changed := !slices.Equal(addresses, r.known)
	if changed && len(r.known) > 0 {
		r.pool.log.Info("name has other addresses", "host", r.host, "addresses", addresses)
	}
	r.known = addresses
	r.note(nil)
	switch {
	case r.members != nil:
		r.expand(addresses)
	case changed:
		r.pool.readdress(r.backend, slices.Clone(addresses))
	}
	return true
}

// note keeps how the latest look-up went.
func (r *resolver) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if err == nil {
		r.last = NameStatus{Addresses: len(r.known), Resolved: now}
		return
	}
	r.last.Error = err.Error()
	if r.last.Failing.IsZero() {
		r.last.Failing = now
	}
}

func (r *resolver) status() NameStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.last
	s.Host = r.host
	return s
}

// addresses are those of an answer, with the port, in an order of their own: servers shuffle their answers.
func (r *resolver) addresses(found []netip.Addr) []netip.AddrPort {
	var addresses []netip.AddrPort
	for _, a := range found {
		addresses = append(addresses, netip.AddrPortFrom(a.Unmap(), r.port))
	}
	slices.SortFunc(addresses, netip.AddrPort.Compare)
	return slices.Compact(addresses)
}

// backends are the members that it has made.
func (r *resolver) backends() []*Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.members))
}

// expand makes the pool's members those addresses: first the new ones, so that there is always somebody to serve. An
// address that is a member already by another name is left to that one; should it go, it is taken at the next look-up.
func (r *resolver) expand(addresses []netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, address := range addresses {
		name := address.String()
		if r.members[address] != nil || r.pool.Backend(name) != nil {
			continue
		}
		r.members[address] = r.pool.add(r.config, name, address.Addr().String(), []netip.AddrPort{address}, r.unproven)
	}
	for address, b := range r.members {
		if !slices.Contains(addresses, address) {
			r.pool.remove(b)
			delete(r.members, address)
		}
	}
}
