//go:build linux

package main

import (
	"context"
	"time"
)

const (
	// turnDuration is how long a peer is measured before the next one is; turnWarmup precedes it and counts for nothing.
	turnDuration = 60 * time.Millisecond
	turnWarmup   = 15 * time.Millisecond
)

// contender is a peer under a load that takes turns.
type contender struct {
	proxy *proxy
	load  *loadProcess
	err   error // it is out
}

// measureInTurns starts all peers, each with a load of its own, and lets one after the other have a turn, in changing order,
// until each has been measured for as long as a round is.
func (b *bench) measureInTurns(ctx context.Context, c loadCase, peers []peer) []outcome {
	all := make([]*contender, len(peers))
	for i, p := range peers {
		all[i] = b.enter(ctx, c, p)
		defer all[i].leave()
	}
	next := turn{Warmup: b.settings.Warmup, Duration: min(turnDuration, b.settings.Duration)}
	for n := range int((b.settings.Duration + next.Duration - 1) / next.Duration) {
		for _, one := range rotate(all, n) {
			if one.err == nil && ctx.Err() == nil {
				one.err = one.load.take(next)
			}
		}
		next.Warmup = min(turnWarmup, b.settings.Warmup)
	}
	results := make([]outcome, len(all))
	for i, one := range all {
		if results[i].err = one.err; one.err == nil {
			results[i].m, results[i].err = one.proxy.verdict(one.load.finish())
		}
	}
	return results
}

// enter starts a peer and its load.
func (b *bench) enter(ctx context.Context, c loadCase, p peer) *contender {
	one := &contender{}
	if one.proxy, one.err = b.startProxy(ctx, c, p); one.err == nil {
		one.load, one.err = b.startLoad(ctx, b.assignmentOf(c, one.proxy.route, one.proxy.pids))
	}
	return one
}

func (c *contender) leave() {
	if c.load != nil {
		c.load.stop()
	}
	if c.proxy != nil {
		c.proxy.stop()
	}
}
