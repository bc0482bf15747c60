package fakefe

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

func TestGreeting(t *testing.T) {
	for _, test := range []struct {
		config  Config
		version string
		caps    mysqlwire.Capability
		id      uint32
	}{
		{Config{}, "8.0.33", 0x0018820C, 1},
		{Config{Number: 200, Version: "5.1.0"}, "5.1.0", 0x0018820C, 200<<24 | 1},
		{Config{Flavour: Doris, Number: 3}, "5.7.99", 0x0008828C, 3<<24 | 1},
	} {
		fe := start(t, test.config)
		c := dial(t, fe)
		c.greet()
		g := c.greeting
		if g.Version != test.version || g.Capabilities != test.caps || g.ConnectionID != test.id || g.Charset != 33 || g.Status != 0 ||
			len(g.Scramble) != 20 || g.AuthPlugin != mysqlwire.NativePassword {
			t.Errorf("%+v greets with %+v", test.config, g)
		}
		c.login("root", "")
		c.ok()
		fe.Stop()
		if n := c.ended(); n != 0 {
			t.Errorf("%d bytes before the end", n)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, config := range []Config{
		{Flavour: 7}, {AuthPlugin: "sha256_password"}, {Listen: "127.0.0.1"}, {HTTPListen: "nowhere:x"},
	} {
		if fe, err := Start(config); !errors.Is(err, ErrConfig) {
			t.Errorf("%+v: %v, %v", config, fe, err)
		}
	}
	taken := start(t, Config{})
	if fe, err := Start(Config{Listen: taken.Address()}); err == nil {
		fe.Stop()
		t.Error("two FEs on one address")
	}
}

func TestIPv6(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6 here: ", err)
	} else {
		l.Close()
	}
	fe := start(t, Config{Listen: "[::1]:0", HTTPListen: "localhost:0"})
	enter(t, fe)
	set(t, fe, Refuse)
	mustRefuse(t, fe.Address())
	set(t, fe, None)
	enter(t, fe)
	if rows, _ := list(t, fe); rows[0]["IP"] != "::1" {
		t.Errorf("rows %v", rows)
	}
}

func TestConnectionCounts(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/")
	var held []*sql.Conn
	for range 5 {
		conn, err := db.Conn(patiently(t))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	greeted := dial(t, fe)
	greeted.greet()
	want := Counts{Accepted: 6, Logins: 5}
	want.Present[Idle], want.Present[LoggingIn] = 5, 1
	if got := fe.Counts(); got != want || fe.Sessions() != 5 || got.Connections() != 6 {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	for _, conn := range held {
		conn.Close()
	}
	db.Close()
	greeted.conn.Close()
	await(t, fe, "no connections", empty)
}

func TestAwaitGivesUp(t *testing.T) {
	fe := start(t, Config{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := fe.Await(ctx, func(Counts) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("Await returns %v", err)
	}
}

func TestEvents(t *testing.T) {
	var mu sync.Mutex
	var events []Event
	fe := start(t, Config{Name: "fe9", OnEvent: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	c := enter(t, fe)
	c.command(mysqlwire.ComQuery, "select 1")
	c.must()
	c.conn.Close()
	await(t, fe, "the end", empty)
	set(t, fe, Silent)
	set(t, fe, None)
	denied := dial(t, fe)
	denied.greet()
	denied.login("mallory", "x")
	denied.refused(1045)
	denied.ended()
	fe.Stop()

	mu.Lock()
	defer mu.Unlock()
	var kinds []EventKind
	for _, e := range events {
		if e.FE != "fe9" || e.At.IsZero() {
			t.Errorf("event %+v", e)
		}
		if e.Kind == Queried && (e.Detail != "select 1" || e.User != "root" || e.ConnectionID != 1 || e.Client.String() != c.conn.LocalAddr().String()) {
			t.Errorf("event %+v", e)
		}
		kinds = append(kinds, e.Kind)
	}
	want := []EventKind{Connected, LoggedIn, Queried, Disconnected, FaultSet, FaultSet, Connected, Denied, Disconnected}
	if !slices.Equal(kinds, want) {
		t.Errorf("events %v\nwant   %v", kinds, want)
	}
}

// TestStopEndsEverything stops an FE with a connection in each state.
func TestStopEndsEverything(t *testing.T) {
	fe := start(t, Config{})
	idle, asleep, frozen, greeted := enter(t, fe), enter(t, fe), enter(t, fe), dial(t, fe)
	greeted.greet()
	asleep.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)
	set(t, fe, FreezeMidResult)
	frozen.command(mysqlwire.ComQuery, "select 1")
	await(t, fe, "the frozen result", func(c Counts) bool { return c.Present[Busy] == 2 })
	set(t, fe, Silent)
	// The change of fault lets the frozen result go on.
	await(t, fe, "the end of the result", busy)
	silent := dial(t, fe)
	await(t, fe, "the silent connection", func(c Counts) bool { return c.Present[Waiting] == 1 })
	fe.Stop()
	for _, c := range []*client{idle, asleep, frozen, greeted, silent} {
		c.ended()
	}
	mustRefuse(t, fe.Address())
	mustRefuse(t, fe.HTTPAddress())
	fe.Stop()
	if err := fe.Set(None); !errors.Is(err, ErrStopped) {
		t.Errorf("Set after Stop: %v", err)
	}
	<-fe.Leave(Leaving{})
}

// TestPortStaysReserved tries to take an FE's port for an outgoing connection while it is away.
func TestPortStaysReserved(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("ports are reserved on Linux alone")
	}
	fe, other := start(t, Config{}), start(t, Config{})
	for range 20 {
		set(t, fe, Refuse)
		mustRefuse(t, fe.Address())
		thief := net.Dialer{LocalAddr: fe.mysql.address, Timeout: patience}
		if conn, err := thief.Dial("tcp", other.HTTPAddress()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("a connection from the FE's port: %v, %v", conn, err)
		}
		set(t, fe, None)
		enter(t, fe).conn.Close()
	}
}

func TestAnswer(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/")
	fe.Answer("SELECT  count(*) FROM t WHERE name = 'It';", Answer{Columns: []string{"n", "m"}, Rows: [][]any{{"7", nil}, {[]byte("8")}}})
	fe.Answer("flush tables", Answer{})
	fe.Answer("select 1", Answer{Err: &mysqlwire.ServerError{Code: 1064, State: "42000", Message: "no"}})

	rows, err := db.QueryContext(patiently(t), "select COUNT( * ) from t where name='It'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got [][2]sql.NullString
	for rows.Next() {
		var r [2]sql.NullString
		if err := rows.Scan(&r[0], &r[1]); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	want := [][2]sql.NullString{{{String: "7", Valid: true}, {}}, {{String: "8", Valid: true}, {}}}
	if !slices.Equal(got, want) || rows.Err() != nil {
		t.Errorf("rows %v, %v", got, rows.Err())
	}
	if _, err := db.ExecContext(patiently(t), "FLUSH TABLES"); err != nil {
		t.Error(err)
	}
	var refused *mysql.MySQLError
	if _, err := db.ExecContext(patiently(t), "select 1"); !errors.As(err, &refused) || refused.Number != 1064 {
		t.Errorf("select 1: %v", err)
	}
	fe.Forget("Select 1;")
	if v := ask(t, db, "select 1"); v != "1" {
		t.Errorf("select 1 gives %q", v)
	}
	if _, err := db.ExecContext(patiently(t), "select count(*) from t where name = 'IT'"); err == nil {
		t.Error("the case of a string does not matter")
	}
}
