package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Listing is a cluster's answer to one of its members.
type Listing struct {
	// Seed is the host:port that was asked.
	Seed string
	// Frontends are those that have a MySQL port, each address once, in the order of the answer. There is one at least.
	Frontends []Frontend
}

// Address is the front end's host:port for MySQL, in its usual form.
func (f Frontend) Address() string {
	host := strings.ToLower(f.Host)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(f.QueryPort)))
}

// SeedError is why a seed gave no list, or not one that is believed.
type SeedError struct {
	Seed string
	Err  error

	listed bool // it gave a list, which was not believed
}

// Error names the seed, the step and the reason.
func (e *SeedError) Error() string { return "probe: " + e.words() }

// Unwrap is the reason.
func (e *SeedError) Unwrap() error { return e.Err }

func (e *SeedError) words() string {
	return e.Seed + ": " + strings.TrimPrefix(e.Err.Error(), "probe: ")
}

// kind is the same for reasons that a person would mend in the same way.
func (e *SeedError) kind() string {
	if f := (*fault)(nil); errors.As(e.Err, &f) {
		return e.Seed + " " + f.failure
	}
	return e.words()
}

// SeedErrors is why no seed gave a list that is believed, in the order in which they were asked.
type SeedErrors []*SeedError

// Error names each seed, with step and reason.
func (e SeedErrors) Error() string { return "probe: no list of front ends: " + e.words() }

func (e SeedErrors) words() string {
	if len(e) == 0 {
		return "there is nobody to ask"
	}
	words := make([]string, len(e))
	for i, one := range e {
		words[i] = one.words()
	}
	return strings.Join(words, "; ")
}

// Unwrap gives the single errors.
func (e SeedErrors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// kind is the same for the same trouble, in whatever order seeds were asked.
func (e SeedErrors) kind() string {
	kinds := make([]string, len(e))
	for i, one := range e {
		kinds[i] = one.kind()
	}
	slices.Sort(kinds)
	return strings.Join(kinds, "\n")
}

// ListFrontends asks seeds, each host:port, in turn until one of them lists the front ends of its cluster; see
// [ReadFrontends] for the rest. believe, unless it is nil, may turn a list down by an error, and the next seed is asked.
// One that keeps silent for a quarter of the time-out is overtaken by the next one. The error is a SeedErrors, or, when
// ctx ended, that of ctx.
func ListFrontends(ctx context.Context, config Config, seeds []string, believe func(Listing) error) (Listing, error) {
	return newInquiry(config).ask(ctx, seeds, believe)
}

// inquiry is how seeds are asked.
type inquiry struct {
	config Config
	read   func(context.Context, Config, Target) ([]Frontend, error)
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func newInquiry(config Config) *inquiry {
	setDefault(&config.Timeout, DefaultDiscoveryTimeout)
	return &inquiry{config: config, read: ReadFrontends, lookup: net.DefaultResolver.LookupNetIP}
}

// ask asks seeds in turn. When it returns nobody is asked any more.
func (q *inquiry) ask(ctx context.Context, seeds []string, believe func(Listing) error) (Listing, error) {
	asking, cancel := context.WithCancel(ctx)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	type answer struct {
		turn      int
		frontends []Frontend
		err       error
	}
	answers := make(chan answer, len(seeds))
	errs := make(SeedErrors, len(seeds))
	overtake := time.NewTicker(q.config.Timeout / 4)
	defer overtake.Stop()
	turn, pending := 0, 0
	next := func() {
		if turn == len(seeds) {
			return
		}
		mine := turn
		asked.Go(func() {
			frontends, err := q.one(asking, seeds[mine])
			answers <- answer{mine, frontends, err}
		})
		turn, pending = turn+1, pending+1
		overtake.Reset(q.config.Timeout / 4)
	}
	for next(); pending > 0; {
		select {
		case <-overtake.C:
			next()
		case a := <-answers:
			pending--
			listing := Listing{seeds[a.turn], a.frontends}
			listed := a.err == nil
			if listed && believe != nil {
				a.err = believe(listing)
			}
			if a.err == nil {
				return listing, nil
			}
			errs[a.turn] = &SeedError{seeds[a.turn], a.err, listed}
			next()
		}
	}
	if ctx.Err() != nil {
		return Listing{}, ctx.Err()
	}
	return Listing{}, errs
}

// one asks one seed.
func (q *inquiry) one(ctx context.Context, seed string) ([]Frontend, error) {
	ctx, cancel := context.WithTimeout(ctx, q.config.Timeout)
	defer cancel()
	host, addresses, f := q.resolve(ctx, seed)
	if f != nil {
		return nil, f
	}
	all, err := q.read(ctx, q.config, Target{Name: seed, Host: host, Addresses: func() []netip.AddrPort { return addresses }})
	if err != nil {
		return nil, err
	}
	var usable []Frontend
	seen := map[string]bool{}
	for _, frontend := range all {
		if address := frontend.Address(); frontend.QueryPort != 0 && !seen[address] {
			seen[address] = true
			usable = append(usable, frontend)
		}
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("%w: none of %d rows has a MySQL port", ErrFrontends, len(all))
	}
	return usable, nil
}

// resolve finds the addresses of a seed now: it may have had others when it was asked last.
func (q *inquiry) resolve(ctx context.Context, seed string) (host string, addresses []netip.AddrPort, f *fault) {
	host, digits, err := net.SplitHostPort(seed)
	if err != nil {
		return "", nil, unfit(StepResolve, failResolve, "%s is not host:port", quoted(seed))
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", nil, unfit(StepResolve, failResolve, "%s is no port", quoted(digits))
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return host, []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	found, err := q.lookup(ctx, "ip", host)
	switch {
	case err != nil && isTimeout(err):
		return "", nil, unfit(StepResolve, failResolve, "no answer about %s within %s", quoted(host), span(q.config.Timeout))
	case err != nil:
		return "", nil, unfit(StepResolve, failResolve, "%s", rootCause(err))
	}
	for _, ip := range found {
		addresses = append(addresses, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return host, addresses, nil
}

// seedOrder is whom to ask, each once: the one that answered last, those of the configuration, and those that the
// cluster has listed, which are left when all of the former are gone. One that answered last with a list that it is not on
// has left its cluster, or was thrown out, and may know little of it: it comes last. A host name could be anybody's.
func seedOrder(last string, configured, listed []string) []string {
	all := slices.Concat(configured, listed, []string{last})
	if _, err := netip.ParseAddrPort(last); err != nil || slices.Contains(listed, last) {
		all = slices.Concat([]string{last}, all)
	} else {
		all = append(slices.DeleteFunc(all, func(seed string) bool { return seed == last }), last)
	}
	var order []string
	seen := map[string]bool{"": true}
	for _, seed := range all {
		if key := strings.ToLower(seed); !seen[key] {
			seen[key] = true
			order = append(order, seed)
		}
	}
	return order
}
