package balancer

import (
	"fmt"
	"sync"
	"testing"

	"fairlead/internal/fakefe"
)

// TestHeldSessionsAreBalanced is the promise of issue 2 in figures: sessions that stay, opened one by one and by many at
// once, spread by weight, and leave nothing behind.
func TestHeldSessionsAreBalanced(t *testing.T) {
	for _, test := range []struct {
		policy  Policy
		weights []int
		want    []int
	}{
		{LeastConnections, []int{1, 1, 1}, []int{100, 100, 100}},
		{LeastConnections, []int{1, 2, 3}, []int{50, 100, 150}},
		{RoundRobin, []int{1, 1, 1}, []int{100, 100, 100}},
		{RoundRobin, []int{1, 2, 3}, []int{50, 100, 150}},
	} {
		t.Run(fmt.Sprintf("%s/%v", test.policy, test.weights), func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				fes, addresses := startFEs(t, 3, nil)
				r := serve(t, kind, func(c *Config, _ *Options) {
					c.Pools[0].Policy = test.policy
					for i := range c.Pools[0].Backends {
						c.Pools[0].Backends[i].Weight = test.weights[i]
					}
				}, addresses...)
				clients := r.crowd(64, 300)
				for i, fe := range fes {
					truth := fe.Sessions()
					shown := r.gauge("backend_sessions", addresses[i])
					if truth < test.want[i]-1 || truth > test.want[i]+1 || shown != float64(truth) {
						t.Errorf("backend %d has %d sessions, the gauge shows %v, want %d", i, truth, shown, test.want[i])
					}
				}
				for _, c := range clients {
					c.Close()
				}
				for range clients {
					if s := r.record(); s.End != "client_closed" {
						t.Fatalf("%+v", s)
					}
				}
				for i, fe := range fes {
					if err := fe.Await(t.Context(), func(c fakefe.Counts) bool { return c.Connections() == 0 }); err != nil {
						t.Error(err)
					}
					if shown := r.gauge("backend_sessions", addresses[i]); shown != 0 {
						t.Errorf("backend %d: the gauge shows %v at the end", i, shown)
					}
				}
			})
		})
	}
}

// crowd opens so many sessions, by that many clients at a time.
func (r *balancerRig) crowd(atOnce, sessions int) []*client {
	r.t.Helper()
	var (
		all     sync.WaitGroup
		clients = make([]*client, sessions)
		start   = make(chan struct{})
	)
	for k := range atOnce {
		all.Go(func() {
			<-start
			for i := k; i < sessions; i += atOnce {
				clients[i] = r.enter()
			}
		})
	}
	close(start)
	all.Wait()
	return clients
}

// TestShortSessionsTakeTurns: sessions that end at once are spread as well.
func TestShortSessionsTakeTurns(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 3, nil)
		r := serve(t, kind, nil, addresses...)
		for range 30 {
			r.enter().Close()
			r.wantEnd("client_closed")
		}
		for i, fe := range fes {
			if n := fe.Counts().Logins; n != 10 {
				t.Errorf("backend %d had %d of 30 logins, want 10", i, n)
			}
		}
	})
}
