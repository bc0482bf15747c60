package e2e

import (
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// A graceful leave in two parts: a front end that says that it leaves, and still serves all sessions that it has, and then
// closes the idle ones and is gone. A StarRocks front end closes sessions once they have been idle for a second; which client
// is about to use one just then is a matter of luck, whatever is between them.
var (
	leavingSoon = fakefe.Leaving{Idle: time.Hour, Min: time.Hour, Max: time.Hour}
	leavingNow  = fakefe.Leaving{Idle: time.Nanosecond, Every: pollEvery, Min: time.Nanosecond, Max: time.Hour}
)

// TestRollingRestart: three front ends leave gracefully and come back, one after the other, while clients log in all the
// time and others work in bursts on connections of a pool, which they look at before each use. None of them notices.
func TestRollingRestart(t *testing.T) {
	fes, addresses, port := startWithHealth(t, 3)
	p := start(t, inFrontOf(quickPool, fmt.Sprintf("interval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n"+
		"http = \"http://{host}:%d/api/health\"\n", port), addresses...))
	guests := loadOn(p, whichFE)
	guests.Held, guests.Idle = 0, 0 // a session that never rests keeps its front end from leaving, and one that only listens would tell of its end
	f := come(t, guests)
	pools := startPools(t, p.address("mysql"), 16)
	f.running("1", "2", "3")

	for i, fe := range fes {
		name := strconv.Itoa(i + 1)
		fe.Leave(leavingSoon)
		p.becomes(name, balancer.Draining)
		drained := time.Now()
		f.more(50, drained)
		pools.used(t)
		pools.rest(t)
		stay := pools.on(name)
		if stay == 0 {
			t.Errorf("no pooled connection has stayed on front end %s", name)
		}
		eventually(t, "other clients of front end "+name+" to go", func() bool { return fe.Sessions() == stay })
		gone := fe.Leave(leavingNow)
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatal("a front end does not leave")
		}
		if n := len(f.visits(func(v visit) bool { return v.Server == name && v.Began.After(drained) })); n > 0 {
			t.Errorf("%d clients were led to front end %s although it was leaving", n, name)
		}
		p.becomes(name, balancer.Down)
		eventually(t, "pools to hear of the ends", func() bool { return pools.ended(name) == stay })
		pools.resume()
		pools.used(t)
		f.more(50, time.Now())
		suffer(t, fe, fakefe.None)
		p.becomes(name, balancer.Up)
		f.served(name, time.Now())
	}
	f.stop()
	pools.stop()

	if failed := f.visits(func(v visit) bool { return v.Failed != "" || v.Unasked != "" }); len(failed) > 0 {
		t.Errorf("logins or their queries failed: %s", listed(failed))
	}
	queries, renewed, errs := pools.result()
	if len(errs) > 0 {
		t.Errorf("%d queries of pooled connections failed, the first: %v", len(errs), errs[0])
	}
	t.Logf("%d logins; %d queries on pooled connections, %d of which were made anew", len(f.visits(func(visit) bool { return true })), queries, renewed)
}

// startWithHealth starts front ends whose HTTP ports have the same number, each on an address of its own, as in a cluster.
func startWithHealth(t *testing.T, n int) (all []*fakefe.FE, addresses []string, httpPort int) {
	t.Helper()
	const attempts = 20
	for range attempts {
		all, addresses, httpPort = nil, nil, freePort(t)
		for i := range n {
			host := fmt.Sprintf("127.0.17.%d", i+1)
			fe, err := fakefe.Start(fakefe.Config{Name: strconv.Itoa(i + 1), Users: map[string]string{appUser: appPassword},
				Listen: host + ":0", HTTPListen: net.JoinHostPort(host, strconv.Itoa(httpPort))})
			if err != nil {
				t.Log(err) // somebody has the port there
				break
			}
			t.Cleanup(fe.Stop)
			all, addresses = append(all, fe), append(addresses, fe.Address())
		}
		if len(all) == n {
			return all, addresses, httpPort
		}
	}
	t.Fatal("no port is free on all addresses")
	return nil, nil, 0
}
