package control

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/history"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

func TestShowStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:9030")}
	s := Status{About: About{Version: "1.2.3"}, Status: balancer.Status{
		Started: now.Add(-3 * time.Minute), NotReady: "starting", Sessions: 4,
		Listeners: []balancer.ListenerStatus{{Name: "mysql", Addresses: at, Pool: "fe", Sessions: 4}, {Name: "old", Pool: "fe"}},
		Pools: []balancer.PoolStatus{
			{Name: "fe", Protocol: balancer.MySQL, Policy: balancer.RoundRobin, Sessions: 4, Queued: 2, Rates: history.Rates{NewSessions: 1.25, ToServer: 700, ToClient: 2e6},
				Names: []balancer.NameStatus{{Host: "fe", Addresses: 2}, {Host: "old", Addresses: 1, Error: "no such host", Failing: now.Add(-time.Minute)}}, Backends: []balancer.BackendStatus{
					{Name: "one", Addresses: at, State: balancer.Up, Since: now.Add(-time.Hour), Weight: 1, Sessions: 4, MaxSessions: 10, Total: 9,
						Rates: history.Rates{NewSessions: 12.25, ToServer: 700, ToClient: 2e6}, Version: "8.0.33", Connect: 1200 * time.Microsecond, Greeting: 300 * time.Microsecond, Probed: now.Add(-time.Second), Role: "leader"},
					{Name: "10.0.0.1:9030", Addresses: at, State: balancer.Down, Since: now.Add(-time.Second), Weight: 2, Failures: 3, Backup: true,
						Reason: "connect: \x1b[31mrefused", Order: "drain"},
					{Name: "leaving", State: balancer.Draining, Reason: "drain ordered by ann", Order: "drain", CloseIdle: true, Deadline: now.Add(4*time.Minute + time.Second), Sessions: 2},
					{Name: "left", State: balancer.Disabled, Reason: "disable ordered by ann", Order: "disable", Deadline: now.Add(-time.Second), Cut: 3},
				}, Absent: []balancer.Standing{{Pool: "fe", Backend: "away", Order: balancer.Drain, By: "ann"}}},
			{Name: "empty", Protocol: balancer.TCP, Policy: balancer.SourceHash},
			{Name: "well", Protocol: balancer.TCP, Policy: balancer.SourceHash},
			{Name: "never", Protocol: balancer.TCP, Policy: balancer.SourceHash},
		},
	}, Discoveries: []probe.DiscoveryHealth{
		{Pool: "empty", Members: 3, Seed: "fe1:9030", Answered: now.Add(-time.Hour), Error: "no list", Failing: now.Add(-time.Minute), Failures: 9},
		{Pool: "well", Members: 1, Seed: "fe1:9030", Answered: now.Add(-time.Second)},
		{Pool: "never", Error: "denied", Failing: now.Add(-time.Minute)},
	}}
	var got strings.Builder
	if err := ShowStatus(&got, terminal.Style{}, s, now); err != nil {
		t.Fatal(err)
	}
	want := `fairlead 1.2.3, not ready, running for 3m, 4 sessions, 1.3 new/s, 2.0 MB/s
starting

LISTENER  ADDRESSES      POOL  SESSIONS
mysql     10.0.0.1:9030  fe           4
old       closed         fe           0

pool fe (mysql, round-robin): 4 sessions, 1.3 new/s, 2.0 MB/s, 2 waiting for a place
old: no answer of the name service for 1m, keeping what is known (1): no such host
away is no member now; drain stands for its return
BACKEND        ADDRESS        STATE     FOR  SESSIONS  CAP  WEIGHT  NEW/S  BYTES/S  TOTAL  FAILED  ROLE    VERSION  CONNECT  GREETING  PROBED  REASON
one            10.0.0.1:9030  up         1h         4   10       1     12   2.0 MB      9          leader  8.0.33     1.2ms     300µs  1s ago
10.0.0.1:9030                 down       1s         0            2                      0       3  backup                                      (to be drained) connect: \x1b[31mrefused
leaving                       draining              2            0                      0                                                      (close-idle, cut in 4m) drain ordered by ann
left                          disabled              0            0                      0                                                      (deadline over, 3 cut) disable ordered by ann

pool empty (tcp, source-hash): 0 sessions
discovery: keeping the 3 front ends that fe1:9030 listed 1h ago: no list
no backends: their names have no addresses yet

pool well (tcp, source-hash): 0 sessions
discovery: 1 front end listed by fe1:9030, 1s ago
no backends: their names have no addresses yet

pool never (tcp, source-hash): 0 sessions
discovery: no answer for 1m: denied
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
	}, 90)
	if err != nil {
		t.Fatal(err)
	}
	want := `ID  CLIENT         LISTENER  POOL  BACKEND  CONNECTION  USER          DATABASE  PROGRAM  TO SERVER  TO CLIENT  AGE  IDLE
 7  10.9.9.9:5555  mysql     fe    one              42  ann\n         sales     report      1.2 kB      35 MB   1m    1s
 8  10.9.9.9:5555  mysql     fe    two                  (logging in)                           0 B        0 B  2ms   2ms
2 of 90 sessions
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
	draw := func(c *Client) func(context.Context, io.Writer, int) error {
		return func(ctx context.Context, to io.Writer, _ int) error {
			s, err := c.Status(ctx)
			if err != nil {
				return err
			}
			return ShowStatus(to, terminal.Style{}, s, time.Now())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	screen := &pages{left: 2, end: cancel} // the alternate screen, and a page
	if err := Watch(ctx, Screen{To: screen, Rows: func() int { return 3 }}, draw(c)); err != nil {
		t.Fatal(err)
	}
	got := screen.String()
	if !strings.HasPrefix(got, enterScreen+homeAndWipe+"fairlead 1.2.3") || !strings.HasSuffix(got, " lines more: without --watch all can be seen"+leaveScreen) ||
		strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	screen = &pages{left: 1, end: cancel}
	if err := Watch(ctx, Screen{To: screen}, draw(NewClient("/nonexistent/s"))); err != nil {
		t.Fatal(err)
	}
	if got := screen.String(); !strings.Contains(got, "is fairlead running?") || strings.Contains(got, "\x1b") {
		t.Errorf("with nobody there: %q", got)
	}
}
