package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// attempt is one probe under way.
type attempt struct {
	config Config
	target Target
	result Result
	links  []*link // closed at the end, when the verdict is known
}

// Once probes a target, all steps that the configuration asks for, and never takes longer than the
// configured time-out and what an orderly close takes (0.1 s). When ctx ends before, the verdict is Undecided.
func Once(ctx context.Context, config Config, target Target) Result {
	a := &attempt{config: config.withDefaults(), target: target}
	a.result.At = time.Now()
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	f := a.run(ctx)
	if f != nil && errors.Is(ctx.Err(), context.Canceled) {
		f = &fault{step: f.step, failure: failCanceled, text: "canceled"}
	}
	a.conclude(f)
	closeLinks(ctx, a.links)
	return a.result
}

func (a *attempt) run(ctx context.Context) *fault {
	var f *fault
	switch a.config.Type {
	case TypeMySQL:
		f = a.mysql(ctx)
	case TypeTCP:
		f = a.tcp(ctx)
	case TypeHTTP:
	default:
		return misconfigured(StepConnect, "type %q is not known", a.config.Type)
	}
	if f == nil && (a.config.HTTP != "" || a.config.Type == TypeHTTP) {
		f = a.http(ctx)
	}
	return f
}

// conclude makes the result of how the probe ended.
func (a *attempt) conclude(f *fault) {
	r := &a.result
	r.Total = time.Since(r.At)
	if f == nil {
		r.Verdict = Fit
		return
	}
	r.Verdict, r.Step, r.Failure, r.Reason = f.verdict, f.step, f.failure, f.reason()
	if f.config {
		r.ConfigError = r.Reason
	}
}

// first tries addresses in turn until one answers, be the answer good or bad. The time that is left is shared
// out evenly, so that a silent address does not take it all.
func (a *attempt) first(ctx context.Context, try func(deadline time.Time, address netip.AddrPort) *fault) *fault {
	var addresses []netip.AddrPort
	if a.target.Addresses != nil {
		addresses = a.target.Addresses()
	}
	a.result.Step = StepResolve
	if len(addresses) == 0 {
		return unfit(StepResolve, failResolve, "no address is known for %s", quoted(a.target.Host))
	}
	var kept *fault
	for i, address := range addresses {
		f := try(share(ctx, len(addresses)-i), address)
		if f == nil || f.answered {
			a.result.Address = address
			return f
		}
		if kept == nil {
			kept = f
		}
	}
	a.result.Address = addresses[0]
	if len(addresses) > 1 {
		var others []string
		for _, address := range addresses[1:min(len(addresses), 4)] {
			others = append(others, address.String())
		}
		kept.text += " (nor do others answer: " + strings.Join(others, ", ") + ")"
	}
	return kept
}

// share is the time until which one of n attempts may use what is left.
func share(ctx context.Context, n int) time.Time {
	deadline, _ := ctx.Deadline()
	now := time.Now()
	return now.Add(deadline.Sub(now) / time.Duration(n))
}
