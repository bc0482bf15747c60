package control

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/terminal"
)

func TestShowStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:9030")}
	s := Status{About{Version: "1.2.3"}, balancer.Status{
		Started: now.Add(-3 * time.Minute), NotReady: "starting", Sessions: 4,
		Listeners: []balancer.ListenerStatus{{Name: "mysql", Addresses: at, Pool: "fe", Sessions: 4}, {Name: "old", Pool: "fe"}},
		Pools: []balancer.PoolStatus{
			{Name: "fe", Protocol: balancer.MySQL, Policy: balancer.RoundRobin, Sessions: 4, Queued: 2, Backends: []balancer.BackendStatus{
				{Name: "one", Addresses: at, State: balancer.Up, Since: now.Add(-time.Hour), Weight: 1, Sessions: 4, MaxSessions: 10, Total: 9,
					Version: "8.0.33", Connect: 1200 * time.Microsecond, Greeting: 300 * time.Microsecond, Probed: now.Add(-time.Second), Role: "leader"},
				{Name: "10.0.0.1:9030", Addresses: at, State: balancer.Down, Since: now.Add(-time.Second), Weight: 2, Failures: 3, Backup: true,
					Reason: "connect: \x1b[31mrefused", Order: "drain"},
			}},
			{Name: "empty", Protocol: balancer.TCP, Policy: balancer.SourceHash},
		},
	}}
	var got strings.Builder
	if err := ShowStatus(&got, terminal.Style{}, s, now); err != nil {
		t.Fatal(err)
	}
	want := `fairlead 1.2.3, not ready, running for 3m, 4 sessions
starting

LISTENER  ADDRESSES      POOL  SESSIONS
mysql     10.0.0.1:9030  fe           4
old       closed         fe           0

pool fe (mysql, round-robin): 4 sessions, 2 waiting for a place
BACKEND        ADDRESS        STATE  FOR  SESSIONS  CAP  WEIGHT  TOTAL  FAILED  ROLE    VERSION  CONNECT  GREETING  PROBED  REASON
one            10.0.0.1:9030  up      1h         4   10       1      9          leader  8.0.33     1.2ms     300µs  1s ago
10.0.0.1:9030                 down    1s         0            2      0       3  backup                                      (to be drained) connect: \x1b[31mrefused

pool empty (tcp, source-hash): 0 sessions
no backends: their names have no addresses yet
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestShowSessions(t *testing.T) {
	client := netip.MustParseAddrPort("10.9.9.9:5555")
	var got strings.Builder
	err := ShowSessions(&got, terminal.Style{}, []balancer.LiveSession{
		{ID: 7, Client: client, Listener: "mysql", Pool: "fe", Backend: "one", LoggedIn: true, ConnectionID: 42, User: "ann\n", Database: "sales",
			Program: "report", ToServer: 1200, ToClient: 35e6, Age: time.Minute, Idle: time.Second},
		{ID: 8, Client: client, Listener: "mysql", Pool: "fe", Backend: "two", Age: 2 * time.Millisecond, Idle: 2 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `ID  CLIENT         LISTENER  POOL  BACKEND  CONNECTION  USER          DATABASE  PROGRAM  TO SERVER  TO CLIENT  AGE  IDLE
 7  10.9.9.9:5555  mysql     fe    one              42  ann\n         sales     report      1.2 kB      35 MB   1m    1s
 8  10.9.9.9:5555  mysql     fe    two                  (logging in)                           0 B        0 B  2ms   2ms
2 sessions
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

// pages is a screen that ends the watching after some pages.
type pages struct {
	strings.Builder
	left int
	end  context.CancelFunc
}

func (p *pages) Write(b []byte) (int, error) {
	if p.left--; p.left == 0 {
		p.end()
	}
	return p.Builder.Write(b)
}

func TestWatch(t *testing.T) {
	c, _, _ := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	screen := &pages{left: 2, end: cancel} // the alternate screen, and a page
	if err := Watch(ctx, c, screen, terminal.Style{}, true); err != nil {
		t.Fatal(err)
	}
	got := screen.String()
	if !strings.HasPrefix(got, enterScreen+homeAndWipe+"fairlead 1.2.3") || !strings.HasSuffix(got, leaveScreen) {
		t.Errorf("got %q", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	screen = &pages{left: 1, end: cancel}
	if err := Watch(ctx, NewClient("/nonexistent/s"), screen, terminal.Style{}, false); err != nil {
		t.Fatal(err)
	}
	if got := screen.String(); !strings.Contains(got, "is fairlead running?") || strings.Contains(got, "\x1b") {
		t.Errorf("with nobody there: %q", got)
	}
}
