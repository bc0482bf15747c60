//go:build linux

package main

import (
	"fmt"
	"log/slog"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/metrics"
)

// sessionsEach is how many sessions each backend has when a choice is measured.
const sessionsEach = 3

// choose measures a choice, and the end of a session that was chosen for.
func choose(sizes []int) ([]figure, error) {
	var figures []figure
	for _, policy := range []balancer.Policy{balancer.LeastConnections, balancer.RoundRobin, balancer.SourceHash} {
		f := figure{study: "choose", grows: "backends", name: string(policy), unit: "µs", sizes: sizes}
		if policy == balancer.LeastConnections {
			f.goal = 2
		}
		for _, n := range sizes {
			took, err := chooseAmong(policy, n)
			if err != nil {
				return nil, err
			}
			f.values = append(f.values, took)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func chooseAmong(policy balancer.Policy, n int) (microseconds float64, err error) {
	byDefault := config.Default()
	pool := byDefault.Pool
	pool.Name, pool.Policy = "fe", policy
	for i := range n {
		pool.Backends = append(pool.Backends, balancer.BackendConfig{Address: backendAddress(i, 9030).String(), Weight: 1})
	}
	listener := byDefault.Listener
	listener.Name, listener.Pool, listener.Bind = "mysql", "fe", anyPort
	b, err := balancer.New(balancer.Config{Engine: byDefault.Engine, Pools: []balancer.PoolConfig{pool}, Listeners: []balancer.ListenerConfig{listener}},
		balancer.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		return 0, fmt.Errorf("scale: choose: %w", err)
	}
	defer b.Close()
	p := b.Pool("fe")
	leases := make([]*balancer.Lease, sessionsEach*n)
	for i := range leases {
		if leases[i], err = p.Acquire(balancer.Request{Source: source(i)}); err != nil {
			return 0, fmt.Errorf("scale: choose: %w", err)
		}
	}
	result := testing.Benchmark(func(b *testing.B) {
		for i := 0; b.Loop(); i++ { // the oldest session ends, and a new one begins
			l := &leases[i%len(leases)]
			(*l).Release()
			if *l, err = p.Acquire(balancer.Request{Source: source(i)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("scale: choose: %w", err)
	}
	for _, l := range leases {
		l.Release()
	}
	return float64(result.NsPerOp()) / 1000, nil
}
