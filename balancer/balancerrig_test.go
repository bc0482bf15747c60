package balancer

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
	"fairlead/metrics"
)

// hang is a deadline that only ends a test which would otherwise never end.
const hang = 30 * time.Second

// engines are those of this system.
func engines() []string {
	if runtime.GOOS == "linux" {
		return []string{"loops", "goroutines"}
	}
	return []string{"goroutines"}
}

// eachEngine runs a test over all engines. Whatever the test starts must be gone when its cleanups have run.
func eachEngine(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range engines() {
		t.Run(kind, func(t *testing.T) {
			goroutines, files := runtime.NumGoroutine(), openFiles()
			t.Cleanup(func() {
				eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
				eventually(t, "descriptors to be freed", func() bool { return openFiles() <= files })
			})
			test(t, kind)
		})
	}
}

// eventually waits for something that other goroutines or the kernel are about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hang); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("waited in vain for %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// openFiles counts the process's sockets and pipes; the runtime's own descriptors stay out of it.
func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // only Linux tells
	}
	n := 0
	for _, name := range names {
		target, err := os.Readlink("/proc/self/fd/" + name.Name())
		if err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:")) {
			n++
		}
	}
	return n
}

// balancerRig is a balancer that serves on loopback, with what it works with.
type balancerRig struct {
	*Balancer
	t       *testing.T
	metrics *metrics.Metrics
	log     logged
	records chan SessionRecord
	begun   chan SessionRecord
	changes chan Change
	ended   int // records taken from the channel
	panics  int // that are meant to happen

	engineConfig EngineConfig
	forgiven     bool // series were removed, so that sums over them tell nothing
}

// loopbackConfig has one listener, called mysql, and one pool, called fe, of these backends.
func loopbackConfig(kind string, backends ...string) Config {
	config := Config{
		Engine:    EngineConfig{Kind: kind, Loops: 2, Pipes: 8, PipeSize: 1 << 18},
		Listeners: []ListenerConfig{{Name: "mysql", Bind: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Pool: "fe", LoginTimeout: hang, Backlog: 1024}},
		Pools: []PoolConfig{{Name: "fe", Protocol: MySQL, Policy: LeastConnections, ConnectTimeout: hang, GreetingTimeout: hang,
			SetupTimeout: 2 * hang, SessionsOnDown: Verify, QueueTimeout: hang, ResolveInterval: time.Hour, Linger: hang}},
	}
	for _, b := range backends {
		config.Pools[0].Backends = append(config.Pools[0].Backends, BackendConfig{Address: b, Weight: 1})
	}
	return config
}

// serve starts a balancer with one listener, called mysql, and one pool, called fe, of these backends. change may alter
// the configuration and the options.
func serve(t *testing.T, kind string, change func(*Config, *Options), backends ...string) *balancerRig {
	t.Helper()
	r := &balancerRig{t: t, metrics: metrics.New(metrics.BuildInfo{}), log: newLogged(),
		records: make(chan SessionRecord, 100_000), begun: make(chan SessionRecord, 100_000),
		changes: make(chan Change, 10_000)}
	config := loopbackConfig(kind, backends...)
	changed := func(c Change) { r.changes <- c }
	options := Options{Log: slog.New(r.log), Metrics: r.metrics, Changed: changed, SessionBegun: true, Sessions: func(s SessionRecord) {
		if s.End == "" {
			r.begun <- s
		} else {
			r.records <- s
		}
	}}
	if change != nil {
		change(&config, &options)
	}
	b, err := New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	r.Balancer, r.engineConfig = b, config.Engine
	t.Cleanup(r.finish)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// finish closes the balancer and checks that its books are in order.
func (r *balancerRig) finish() {
	r.Close()
	r.Close()
	if n := r.Sessions(); n != 0 {
		r.t.Errorf("%d sessions are counted at the end", n)
	}
	status := r.Status()
	for _, l := range status.Listeners {
		if l.Sessions != 0 {
			r.t.Errorf("listener %s has %d sessions at the end", l.Name, l.Sessions)
		}
	}
	for _, p := range status.Pools {
		if p.Sessions != 0 || p.Queued != 0 {
			r.t.Errorf("pool %s has %d sessions and %d in the queue at the end", p.Name, p.Sessions, p.Queued)
		}
		for _, b := range p.Backends {
			if v := r.gauge("backend_sessions", b.Name); b.Sessions != 0 || v != 0 {
				r.t.Errorf("backend %s has %d sessions at the end, its gauge shows %v", b.Name, b.Sessions, v)
			}
		}
	}
	ended := r.sum("sessions_total")
	if accepted, told := r.sum("listener_accepts_total"), float64(r.ended+len(r.records)); (accepted != ended || told != ended) && !r.forgiven {
		r.t.Errorf("%v were accepted, %v have ended, %v are on record", accepted, ended, told)
	}
	if lines := r.log.with("this is a fault of fairlead"); len(lines) != r.panics {
		r.t.Errorf("%d set-ups have panicked: %s", len(lines), lines)
	}
}

func (r *balancerRig) gauge(name string, labels ...string) float64 {
	r.t.Helper()
	v, _ := gauge(r.t, r.metrics, name, labels...)
	return v
}

// sum adds up all series of a counter.
func (r *balancerRig) sum(name string) float64 {
	families, err := r.metrics.Registry().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	all := 0.0
	for _, family := range families {
		if family.GetName() == "fairlead_"+name {
			for _, series := range family.GetMetric() {
				all += series.GetCounter().GetValue()
			}
		}
	}
	return all
}

// address is where the listener listens.
func (r *balancerRig) address() string { return r.Listener("mysql").Addresses()[0].String() }

// record returns the next session that has ended.
func (r *balancerRig) record() SessionRecord {
	r.t.Helper()
	select {
	case s := <-r.records:
		r.ended++
		return s
	case <-time.After(hang):
		r.t.Fatal("no session ends")
		panic("unreachable")
	}
}

// wantEnd takes the next session that has ended, checks how, and that it is counted so.
func (r *balancerRig) wantEnd(end string) SessionRecord {
	r.t.Helper()
	before := r.ended
	s := r.record()
	if s.End != end {
		r.t.Fatalf("session %d ended with %q, want %q: %+v", before, s.End, end, s)
	}
	if r.gauge("sessions_total", "mysql", s.Backend, end) == 0 {
		r.t.Errorf("the end %q with backend %q is not counted", end, s.Backend)
	}
	return s
}

// wantReject is wantEnd for a client that was turned away.
func (r *balancerRig) wantReject(reason string) SessionRecord {
	r.t.Helper()
	s := r.wantEnd(reason)
	if r.gauge("listener_rejects_total", "mysql", reason) == 0 {
		r.t.Errorf("the rejection %q is not counted", reason)
	}
	return s
}

// startFEs starts stand-in front ends that are stopped with the test.
func startFEs(t *testing.T, n int, change func(*fakefe.Config)) (fes []*fakefe.FE, addresses []string) {
	t.Helper()
	for i := range n {
		config := fakefe.Config{Name: "fe" + string(rune('1'+i))}
		if change != nil {
			change(&config)
		}
		fe, err := fakefe.Start(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fe.Stop)
		fes, addresses = append(fes, fe), append(addresses, fe.Address())
	}
	return fes, addresses
}

// login connects with go-sql-driver/mysql; connection parameters follow the address.
func login(address, parameters string) (driver.Conn, error) {
	config, err := mysql.ParseDSN("root@tcp(" + address + ")/" + parameters)
	if err != nil {
		return nil, err
	}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	return connector.Connect(ctx)
}

// ask runs a statement with one column, and returns the first row's.
func ask(t *testing.T, c driver.Conn, statement string) string {
	t.Helper()
	rows, err := c.(driver.QueryerContext).QueryContext(context.Background(), statement, nil)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer rows.Close()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if text, is := row[0].([]byte); is {
		return string(text)
	}
	return fmt.Sprint(row[0])
}

// wantRefusal checks that an error is the balancer's ERR packet, with all of these words in it.
func wantRefusal(t *testing.T, err error, code uint16, words ...string) {
	t.Helper()
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != code {
		t.Fatalf("%v, want the server's error %d", err, code)
	}
	if code == 1040 && string(refused.SQLState[:]) != "08004" {
		t.Errorf("the state is %s, want 08004", refused.SQLState)
	}
	for _, w := range words {
		if !strings.Contains(refused.Message, w) {
			t.Errorf("the message %q lacks %q", refused.Message, w)
		}
	}
}

// client speaks to the balancer byte by byte, or packet by packet.
type client struct {
	*net.TCPConn
	t        *testing.T
	greeting mysqlwire.Greeting
}

func (r *balancerRig) dial() *client { return dialClient(r.t, r.address()) }

func dialClient(t *testing.T, address string) *client {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, hang)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hang))
	return &client{TCPConn: c.(*net.TCPConn), t: t}
}

func (c *client) send(b string) {
	c.t.Helper()
	if _, err := io.WriteString(c, b); err != nil {
		c.t.Fatal(err)
	}
}

// packet reads one.
func (c *client) packet() []byte {
	c.t.Helper()
	_, payload, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload)
	if err != nil {
		c.t.Fatal(err)
	}
	return payload
}

func (c *client) greet() {
	c.t.Helper()
	var err error
	if c.greeting, err = mysqlwire.ParseGreeting(c.packet()); err != nil {
		c.t.Fatal(err)
	}
}

// loginPacket is what a client answers to a greeting, header included.
func loginPacket(user string) string {
	l := mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities, User: user, AuthPlugin: mysqlwire.NativePassword}
	b, _ := mysqlwire.AppendPacket(nil, l.Append(nil), 1)
	return string(b)
}

// enter connects and logs in; it is idle then.
func (r *balancerRig) enter() *client {
	r.t.Helper()
	c := r.dial()
	c.greet()
	c.send(loginPacket("root"))
	if p := c.packet(); p[0] != okPacket {
		r.t.Fatalf("%q is no OK", p)
	}
	return c
}

// rest reads to the end of the connection.
func (c *client) rest() (string, error) {
	b, err := io.ReadAll(c)
	return string(b), err
}

// wantGone checks that the balancer has closed the connection, by FIN or by RST, and returns what came before.
func (c *client) wantGone() string {
	c.t.Helper()
	b, err := c.rest()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("not closed, but %v after %q", err, b)
	}
	return b
}

// reset closes with RST.
func (c *client) reset() {
	c.SetLinger(0)
	c.Close()
}

// backendOf listens and lets serve speak for a server, one goroutine each; it is over when all of them have returned.
func backendOf(t *testing.T, serve func(*net.TCPConn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(hang))
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}
