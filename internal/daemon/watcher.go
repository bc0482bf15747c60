package daemon

import (
	"fairlead/balancer"
	"fairlead/probe"
)

// watcher lets a fleet of probes be the eyes of a balancer.
type watcher struct {
	fleet  *probe.Fleet[*balancer.Backend]
	config func(*balancer.Backend) probe.Config
}

// Watch begins to probe a backend, or probes it at once when its addresses have changed.
func (w watcher) Watch(b *balancer.Backend) {
	w.fleet.Watch(b, probe.Target{Pool: b.Pool.Name(), Name: b.Name, Host: b.Host, Addresses: b.Addresses, Known: known(b.Known())}, w.config(b))
}

// Forget ends that.
func (w watcher) Forget(b *balancer.Backend) { w.fleet.Forget(b) }

// Suspect asks for a probe at once.
func (w watcher) Suspect(b *balancer.Backend) { w.fleet.Suspect(b) }

// report tells a pool what the probes of its member have found.
func report(b *balancer.Backend, r probe.Report) {
	b.Pool.Report(b, balancer.Probe{
		At:        r.Result.At,
		Verdict:   verdict(r.Verdict),
		Reason:    r.Result.Reason,
		Version:   r.Result.Version,
		Role:      r.Result.Role,
		RoleKnown: r.Result.RoleKnown,
		Connect:   r.Result.Connect,
		Greeting:  r.Result.Greeting,
	})
}

// verdict is a probe's verdict in the balancer's words.
func verdict(v probe.Verdict) balancer.Verdict {
	switch v {
	case probe.Fit:
		return balancer.Fit
	case probe.Unfit:
		return balancer.Unfit
	case probe.Leaving:
		return balancer.Leaving
	}
	return balancer.Undecided
}

// known is a verdict of the balancer in the probes' words.
func known(v balancer.Verdict) probe.Verdict {
	switch v {
	case balancer.Fit:
		return probe.Fit
	case balancer.Unfit:
		return probe.Unfit
	case balancer.Leaving:
		return probe.Leaving
	}
	return probe.Undecided
}
