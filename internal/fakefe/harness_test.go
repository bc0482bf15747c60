package fakefe

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

// patience ends a test that hangs; no test measures time.
const patience = 30 * time.Second

// start starts an FE that is stopped with the test, and checks then that nothing of it is left.
func start(t *testing.T, config Config) *FE {
	t.Helper()
	before := runtime.NumGoroutine()
	fe, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fe.Stop()
		if n := fe.Counts().Connections(); n != 0 {
			t.Errorf("%d connections are counted after Stop", n)
		}
		awaitGoroutines(t, before)
	})
	return fe
}

// awaitGoroutines waits until there are no more goroutines than before. Those of clients need a moment to end.
func awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

func patiently(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await waits until the FE's counts are as done wants them.
func await(t *testing.T, fe *FE, what string, done func(Counts) bool) {
	t.Helper()
	if err := fe.Await(patiently(t), done); err != nil {
		t.Fatalf("waiting for %s: %v; %+v", what, err, fe.Counts())
	}
}

func busy(c Counts) bool { return c.Present[Busy] == 1 }

func empty(c Counts) bool { return c.Connections() == 0 }

// set is fe.Set, which must succeed.
func set(t *testing.T, fe *FE, fault Fault) {
	t.Helper()
	if err := fe.Set(fault); err != nil {
		t.Fatal(err)
	}
}

// open connects with go-sql-driver/mysql; the database is closed with the test.
func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// ask returns the one value that a statement gives.
func ask(t *testing.T, db interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, statement string, args ...any) string {
	t.Helper()
	var v sql.NullString
	if err := db.QueryRowContext(patiently(t), statement, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", shorten(statement), err)
	}
	if !v.Valid {
		return "NULL"
	}
	return v.String
}

// client speaks the protocol packet by packet.
type client struct {
	t        *testing.T
	conn     *net.TCPConn
	in       *bufio.Reader
	greeting mysqlwire.Greeting
	caps     mysqlwire.Capability
	seq      byte
}

// dial connects and reads nothing.
func dial(t *testing.T, fe *FE) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", fe.Address(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, conn: conn.(*net.TCPConn), in: bufio.NewReader(conn), caps: mysqlwire.StarRocksCapabilities}
}

// read returns the next packet, or the error of the connection.
func (c *client) read() ([]byte, error) {
	h, p, err := mysqlwire.ReadPacket(c.in, nil, mysqlwire.MaxPayload)
	c.seq = h.Sequence + 1
	return p, err
}

// must returns the next packet.
func (c *client) must() []byte {
	c.t.Helper()
	p, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *client) send(payload []byte) {
	c.t.Helper()
	b, _ := mysqlwire.AppendPacket(nil, payload, c.seq)
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// command begins a command; the answer is for read.
func (c *client) command(code byte, body string) {
	c.t.Helper()
	c.seq = 0
	c.send(append([]byte{code}, body...))
}

// greet reads the greeting.
func (c *client) greet() {
	c.t.Helper()
	g, err := mysqlwire.ParseGreeting(c.must())
	if err != nil {
		c.t.Fatal(err)
	}
	c.greeting = g
}

// login answers the greeting.
func (c *client) login(user, password string) {
	c.t.Helper()
	c.send(mysqlwire.Login{
		Capabilities: c.caps, Charset: 33, User: user, AuthResponse: mysqlwire.NativeResponse(c.greeting.Scramble, password),
		AuthPlugin: mysqlwire.NativePassword,
	}.Append(nil))
}

// enter connects and logs in as root without a password.
func enter(t *testing.T, fe *FE) *client {
	t.Helper()
	c := dial(t, fe)
	c.greet()
	c.login("root", "")
	c.ok()
	return c
}

// ok reads an OK packet.
func (c *client) ok() {
	c.t.Helper()
	if p := c.must(); len(p) == 0 || p[0] != 0 {
		c.t.Fatalf("%q is no OK packet", p)
	}
}

// refused reads an ERR packet with this code.
func (c *client) refused(code uint16) *mysqlwire.ServerError {
	c.t.Helper()
	p := c.must()
	e, err := mysqlwire.ParseError(p)
	if err != nil || e.Code != code {
		c.t.Fatalf("%q is not the error %d", p, code)
	}
	return e
}

// ended reads the end of the connection and returns how many bytes came before it.
func (c *client) ended() int {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c.in)
	if err != nil {
		c.t.Fatalf("not a clean end: %v", err)
	}
	return int(n)
}

// wasReset reads the reset of the connection and returns how many bytes came before it.
func (c *client) wasReset() int {
	c.t.Helper()
	n, err := io.Copy(io.Discard, c.in)
	if !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("no reset: %v", err)
	}
	return int(n)
}

// mustRefuse checks that nobody listens.
func mustRefuse(t *testing.T, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connecting to %s: %v, want a refusal", address, err)
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
