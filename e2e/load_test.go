package e2e

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// load says which clients come, all the time and whatever becomes of those before them (an open loop). It can be
// written as JSON, for clients in another process.
type load struct {
	Address        string // of the listener
	User, Password string
	Question       string        // asked by each client; the answer names the server
	Every          time.Duration // from one client that logs in, asks, stays for a moment and goes, to the next
	Stay           time.Duration // that moment: so many are there at once that each server has some, whatever it has of those that stay
	Held           int           // sessions that stay, and ask again after each Pause
	Idle           int           // sessions that stay, and say nothing
	Pause          time.Duration
}

// visit is a client that came to log in, ask, stay for a moment and go.
type visit struct {
	Client  string // its address
	Server  string // the answer
	Began   time.Time
	Greeted time.Duration // until the first byte from the server; 0 when there was none
	Took    time.Duration // until it was logged in, or was not
	Failed  string        // the login's error
	Unasked string        // the question's error
}

// String tells of a visit in a test's failure.
func (v visit) String() string {
	return fmt.Sprintf("client %s, began %s, greeted after %v, login %v %q, question %q, server %s", v.Client,
		v.Began.Format("05.000"), v.Greeted.Round(time.Millisecond), v.Took.Round(time.Millisecond), v.Failed, v.Unasked, v.Server)
}

// holding is a session that stays.
type holding struct {
	Number  int
	Idle    bool
	Client  string
	Server  string
	Began   time.Time
	Answers int
	Asked   time.Time // when the latest question was asked that has been answered
	Over    bool
	Ended   time.Time
	Error   string // why it is over; empty when the load was
}

// String tells of a session in a test's failure.
func (h holding) String() string {
	return fmt.Sprintf("session %d of client %s on server %s, idle %v, %d answers, ended %s: %s", h.Number, h.Client, h.Server, h.Idle,
		h.Answers, h.Ended.Format("05.000"), h.Error)
}

// happening is one thing that came about: a visit that is over, or how a session stands.
type happening struct {
	Visit   *visit
	Holding *holding
}

const (
	// mostVisits is when a load stops adding clients to those that hang: a test that fails must not take the machine along.
	mostVisits = 500
	// longestVisit ends a client that hangs.
	longestVisit = patience
	// lastAnswer is what a session's last question may take when the load is over.
	lastAnswer = patience / 3
)

// run has the clients come until ctx ends, and returns when the last one has gone.
func (l load) run(ctx context.Context, tell func(happening)) error {
	connector, err := l.connector()
	if err != nil {
		return err
	}
	var clients sync.WaitGroup
	defer clients.Wait()
	var numbers atomic.Int64
	for i := range l.Held + l.Idle {
		clients.Go(func() { l.hold(ctx, connector, i >= l.Held, &numbers, tell) })
	}
	room := make(chan struct{}, mostVisits)
	pace := time.NewTicker(l.Every)
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		select {
		case room <- struct{}{}:
			clients.Go(func() {
				v := l.visit(connector)
				tell(happening{Visit: &v})
				<-room
			})
		default: // all hang, and will be told of
		}
	}
}

// connector makes logins, each on a connection of its own, and never a second attempt.
func (l load) connector() (driver.Connector, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DialFunc = "tcp", l.Address, l.User, l.Password, dialWatched
	return mysql.NewConnector(c)
}

// watchedConn notes when its first byte came. The driver uses it in one goroutine.
type watchedConn struct {
	net.Conn
	first time.Time
}

func (w *watchedConn) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 && w.first.IsZero() {
		w.first = time.Now()
	}
	return n, err
}

// watcher is the key of a context's func(*watchedConn), which is told of a connection.
type watcher struct{}

func dialWatched(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w := &watchedConn{Conn: c}
	if tell, ok := ctx.Value(watcher{}).(func(*watchedConn)); ok {
		tell(w)
	}
	return w, nil
}

// visit is one client's: log in, ask, stay for a moment, go.
func (l load) visit(connector driver.Connector) visit {
	ctx, cancel := context.WithTimeout(context.Background(), longestVisit)
	defer cancel()
	v, conn, _ := enter(ctx, connector)
	if conn == nil {
		return v
	}
	defer conn.Close()
	var err error
	if v.Server, err = question(ctx, conn, l.Question); err != nil {
		v.Unasked = err.Error()
	}
	<-time.After(l.Stay)
	return v
}

// enter logs in. The connection is nil when that has failed.
func enter(ctx context.Context, connector driver.Connector) (visit, driver.Conn, *watchedConn) {
	var under *watchedConn
	ctx = context.WithValue(ctx, watcher{}, func(w *watchedConn) { under = w })
	v := visit{Began: time.Now()}
	conn, err := connector.Connect(ctx)
	v.Took = time.Since(v.Began)
	if under != nil {
		v.Client = under.LocalAddr().String()
		if !under.first.IsZero() {
			v.Greeted = under.first.Sub(v.Began)
		}
	}
	if err != nil {
		v.Failed = err.Error()
		return v, nil, nil
	}
	return v, conn, under
}

// question asks on a connection what has one row of one column, and returns that.
func question(ctx context.Context, conn driver.Conn, text string) (string, error) {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, text, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		return "", err
	}
	answer := row[0]
	if err := rows.Next(row); err != io.EOF {
		return "", fmt.Errorf("the end of %q is missing: %v", text, err)
	}
	if bytes, ok := answer.([]byte); ok {
		return string(bytes), nil
	}
	return fmt.Sprint(answer), nil
}

// hold keeps a session, and another one whenever it is lost, until ctx ends.
func (l load) hold(ctx context.Context, connector driver.Connector, idle bool, numbers *atomic.Int64, tell func(happening)) {
	pause := time.NewTicker(max(l.Pause, time.Millisecond))
	defer pause.Stop()
	for ctx.Err() == nil {
		h := holding{Number: int(numbers.Add(1)), Idle: idle, Began: time.Now()}
		if err := l.keep(ctx, connector, &h, pause.C, tell); err != nil {
			h.Error = err.Error()
		}
		h.Over, h.Ended = true, time.Now()
		tell(happening{Holding: &h})
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// keep logs in, and keeps asking, or only listens for the end. It returns nil when ctx has ended.
func (l load) keep(ctx context.Context, connector driver.Connector, h *holding, pause <-chan time.Time, tell func(happening)) error {
	began, cancel := context.WithTimeout(context.Background(), longestVisit)
	defer cancel()
	v, conn, under := enter(began, connector)
	if conn == nil {
		tell(happening{Visit: &v}) // a login like any other
		return errors.New("login: " + v.Failed)
	}
	defer conn.Close()
	if !h.Idle {
		defer context.AfterFunc(ctx, func() { under.SetDeadline(time.Now().Add(lastAnswer)) })()
	}
	h.Client = v.Client
	for {
		asked := time.Now()
		// A server that is frozen may keep its sessions waiting: only the end of the load ends that.
		answer, err := question(context.Background(), conn, l.Question)
		if err != nil {
			return err
		}
		h.Server, h.Asked = answer, asked
		h.Answers++
		now := *h
		tell(happening{Holding: &now})
		if h.Idle {
			return listen(ctx, under)
		}
		select {
		case <-pause:
		case <-ctx.Done():
			return nil
		}
	}
}

// listen waits for the end of a connection on which nothing is to be expected, and returns its error; nil when ctx ended first.
func listen(ctx context.Context, c net.Conn) error {
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := c.Read(make([]byte, 1))
	switch {
	case n > 0:
		return errors.New("a byte that nobody asked for")
	case ctx.Err() != nil:
		return nil
	}
	return err
}
