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
		Verdict:   verdicts[r.Verdict],
		Reason:    r.Result.Reason,
		Version:   r.Result.Version,
		Role:      r.Result.Role,
		RoleKnown: r.Result.RoleKnown,
		Connect:   r.Result.Connect,
		Greeting:  r.Result.Greeting,
	})
}

// verdicts are those of probes in the balancer's words.
var verdicts = map[probe.Verdict]balancer.Verdict{
	probe.Undecided: balancer.Undecided,
	probe.Fit:       balancer.Fit,
	probe.Unfit:     balancer.Unfit,
	probe.Leaving:   balancer.Leaving,
}

// known is a verdict of the balancer in the probes' words.
func known(v balancer.Verdict) probe.Verdict {
	for its, ours := range verdicts {
		if ours == v {
			return its
		}
	}
	return probe.Undecided
}
