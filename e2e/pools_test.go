package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// pools are clients that keep their connections in pools, as applications do: each has one connection, and works in bursts, but for
// the time when all of them rest. Connections that are closed meanwhile cost them nothing, for they look before each
// use. One that is closed between that look and the use fails a query whatever is between client and server.
type pools struct {
	cancel  context.CancelFunc
	clients sync.WaitGroup
	queries atomic.Int64
	opened  atomic.Int64
	started int

	mu struct {
		sync.Mutex
		errs    []error
		clients []pooled      // one each
		resting chan struct{} // closed when the rest is over; nil when nobody is to rest
		rest    int           // clients that do
	}
}

// pooled is a client's connection, and the server that has answered on it.
type pooled struct {
	conn   *net.TCPConn
	server string
}

// A burst of queries, and the pause after it: too short for anybody to take the connection for an idle one.
const (
	burst      = 10
	burstPause = 50 * time.Millisecond
)

func startPools(t *testing.T, address string, n int) *pools {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &pools{cancel: cancel, started: n}
	s.mu.clients = make([]pooled, n)
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", address, appUser, appPassword
	c.CheckConnLiveness = true // the default: what is taken from the pool must still be open
	for i := range n {
		own := c.Clone()
		own.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			return s.dial(ctx, i, network, address)
		}
		connector, err := mysql.NewConnector(own)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		db.SetMaxOpenConns(1)
		s.clients.Go(func() {
			defer db.Close()
			s.work(ctx, i, db)
		})
	}
	t.Cleanup(s.stop)
	return s
}

func (s *pools) dial(ctx context.Context, client int, network, address string) (net.Conn, error) {
	s.opened.Add(1)
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.clients[client].conn = c.(*net.TCPConn)
	return c, nil
}

func (s *pools) work(ctx context.Context, client int, db *sql.DB) {
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
			s.note(client, server, err)
		}
		s.takeRest(ctx)
		pause.Reset(burstPause)
	}
}

func (s *pools) note(client int, server string, err error) {
	s.queries.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.clients[client].server = server
	if err != nil {
		s.mu.errs = append(s.mu.errs, fmt.Errorf("at %s: %w", time.Now().Format("05.000"), err))
	}
}

// takeRest returns when there is no rest, or no more.
func (s *pools) takeRest(ctx context.Context) {
	s.mu.Lock()
	resting := s.mu.resting
	if resting != nil {
		s.mu.rest++
	}
	s.mu.Unlock()
	if resting == nil {
		return
	}
	select {
	case <-resting:
	case <-ctx.Done():
	}
}

// rest has all clients rest, their connections in their pools, until resume.
func (s *pools) rest(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	s.mu.resting, s.mu.rest = make(chan struct{}), 0
	s.mu.Unlock()
	eventually(t, "pools to rest", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.mu.rest == s.started
	})
}

func (s *pools) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.mu.resting)
	s.mu.resting = nil
}

// on counts the pooled connections to a server.
func (s *pools) on(server string) int { return len(s.to(server)) }

// ended counts those of them that are over, as their clients will see when they look. They must be at rest.
func (s *pools) ended(server string) int {
	n := 0
	for _, c := range s.to(server) {
		raw, err := c.conn.SyscallConn()
		if err != nil {
			continue
		}
		_ = raw.Control(func(fd uintptr) {
			if got, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK); got == 0 && err == nil {
				n++
			}
		})
	}
	return n
}

func (s *pools) to(server string) (all []pooled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.mu.clients {
		if c.server == server {
			all = append(all, c)
		}
	}
	return all
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
