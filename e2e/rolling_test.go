package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// leaving is a graceful leave that takes a seventh of the time of a StarRocks front end: it closes sessions that have been idle for
// so long, looks for them so often, and stays at least so long. Probes come in the same proportion.
var leaving = fakefe.Leaving{Idle: 200 * time.Millisecond, Every: 100 * time.Millisecond, Min: 2 * time.Second, Max: time.Minute}

// TestRollingRestart: three front ends leave gracefully and come back, one after the other, while clients log in all the
// time and others work in bursts on connections of a pool, which they look at before each use. None of them notices.
func TestRollingRestart(t *testing.T) {
	fes, addresses, port := startWithHealth(t, 3)
	p := start(t, inFrontOf(quickPool, fmt.Sprintf("interval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"1s\"\n"+
		"http = \"http://{host}:%d/api/health\"\n", port), addresses...))
	guests := loadOn(p, whichFE)
	guests.Held, guests.Idle = 0, 0 // a session that never rests keeps its front end from leaving, and one that only listens would tell of its end
	f := come(t, guests)
	pools := startPools(t, p.address("mysql"), 16, burstPause)
	f.running("1", "2", "3")

	for i, fe := range fes {
		name := strconv.Itoa(i + 1)
		gone := fe.Leave(leaving)
		p.becomes(name, balancer.Draining)
		drained := time.Now()
		select {
		case <-gone:
		case <-time.After(2 * patience):
			t.Fatal("a front end does not leave")
		}
		if n := len(f.visits(func(v visit) bool { return v.Server == name && v.Began.After(drained) })); n > 0 {
			t.Errorf("%d clients were led to front end %s although it was leaving", n, name)
		}
		p.becomes(name, balancer.Down)
		f.more(50, time.Now())
		suffer(t, fe, fakefe.None)
		p.becomes(name, balancer.Up)
		f.served(name, time.Now())
		pools.used(t)
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
	if renewed < int64(len(fes)) {
		t.Errorf("only %d pooled connections were renewed: the front ends closed none", renewed)
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

// pools are clients that keep their connections in pools, as applications do: each works in bursts, and in between
// its connection is idle for long enough that a front end which leaves closes it.
type pools struct {
	cancel  context.CancelFunc
	clients sync.WaitGroup
	queries atomic.Int64
	opened  atomic.Int64
	started int
	pause   time.Duration // between two bursts

	mu struct {
		sync.Mutex
		errs []error
	}
}

// A burst, and the pause after it: in the pause a front end closes the connection well before it is used again. A connection
// that is closed while it is being used fails a query whatever is between client and server.
const (
	burst      = 10
	burstPause = 800 * time.Millisecond
)

func startPools(t *testing.T, address string, n int, pause time.Duration) *pools {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &pools{cancel: cancel, started: n, pause: pause}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", address, appUser, appPassword
	c.CheckConnLiveness = true // the default: what is taken from the pool must still be open
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.opened.Add(1)
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		db := sql.OpenDB(connector)
		db.SetMaxOpenConns(1)
		s.clients.Go(func() {
			defer db.Close()
			s.work(ctx, db)
		})
	}
	t.Cleanup(s.stop)
	return s
}

func (s *pools) work(ctx context.Context, db *sql.DB) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		for range burst {
			var server string
			err := db.QueryRowContext(context.Background(), whichFE).Scan(&server)
			s.note(err)
		}
		pause.Reset(s.pause)
	}
}

func (s *pools) note(err error) {
	s.queries.Add(1)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mu.errs = append(s.mu.errs, fmt.Errorf("at %s: %w", time.Now().Format("05.000"), err))
	}
}

// used waits until each pool has worked again, twice over.
func (s *pools) used(t *testing.T) {
	t.Helper()
	before := s.queries.Load()
	eventually(t, "pooled connections to be used", func() bool { return s.queries.Load() >= before+int64(2*burst*s.started) })
}

func (s *pools) stop() {
	s.cancel()
	s.clients.Wait()
}

// result is the number of queries, of connections opened in place of others, and what failed.
func (s *pools) result() (queries, renewed int64, errs []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queries.Load(), s.opened.Load() - int64(s.started), s.mu.errs
}
