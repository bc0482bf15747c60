package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// greetingTimeout is greeting_timeout in these tests.
const greetingTimeout = 2 * time.Second

// quickPool and quickProbe are settings in these tests: quicker than the defaults, in about their proportions.
var quickPool = fmt.Sprintf("slow_start = \"0s\"\ngreeting_timeout = \"%v\"\n", greetingTimeout)

const quickProbe = "interval = \"300ms\"\nfast_interval = \"100ms\"\ntimeout = \"500ms\"\n"

// becomes waits until a backend has a state.
func (p *process) becomes(name string, want balancer.State) {
	p.t.Helper()
	client := control.NewClient(p.socket)
	p.poll(name+" to be "+want.String(), func() bool {
		s, err := client.Status(p.t.Context())
		return err == nil && backend(p.t, s, name).State == want
	})
}

// allUp waits until every backend is up. Sessions that stay, and come before that, are all on the first ones.
func (p *process) allUp() {
	p.t.Helper()
	client := control.NewClient(p.socket)
	p.poll("every backend to be up", func() bool {
		s, err := client.Status(p.t.Context())
		if err != nil {
			return false
		}
		for _, pool := range s.Pools {
			if slices.ContainsFunc(pool.Backends, func(b balancer.BackendStatus) bool { return b.State != balancer.Up }) {
				return false
			}
		}
		return true
	})
}

// sessionLog is the lines of sessions by the client's address, in the order of their ends.
type sessionLog map[string][]record

// of finds the line of the session that a client began at a moment: ports are used again.
func (l sessionLog) of(client string, began time.Time) record {
	for _, r := range l[client] {
		if ended, err := time.Parse(time.RFC3339Nano, fmt.Sprint(r["time"])); err == nil && ended.After(began) {
			return r
		}
	}
	return nil
}

// endedSessions ends fairlead, once all sessions have, and returns their lines.
func (p *process) endedSessions() sessionLog {
	p.t.Helper()
	client := control.NewClient(p.socket)
	p.poll("all sessions to end", func() bool {
		s, err := client.Status(p.t.Context())
		return err == nil && s.Sessions == 0
	})
	p.signal(syscall.SIGTERM) // after which the whole log is written
	p.exits(0)
	all, _ := p.records()
	ended := make(sessionLog)
	for _, r := range all {
		if r["msg"] == "session" {
			client := fmt.Sprint(r["client"])
			ended[client] = append(ended[client], r)
		}
	}
	return ended
}

// outage is a server that is lost and comes back while clients come all the time.
type outage struct {
	p      *process
	victim string
	others []string
	load   load

	strike, heal func(*testing.T)
	// keepsSessions tells that the sessions on the victim go on after the outage.
	keepsSessions bool
}

// run lets it happen, and checks what the clients have seen of it.
func (o outage) run(t *testing.T) {
	o.p.allUp()
	f := come(t, o.load)
	f.running(append(o.others, o.victim)...)

	o.strike(t)
	o.p.becomes(o.victim, balancer.Down)
	noticed := time.Now()
	f.more(100, noticed)
	healed := time.Now()
	o.heal(t)
	o.p.becomes(o.victim, balancer.Up)
	f.served(o.victim, time.Now())
	f.stop()
	during := func(v visit) bool { return v.Began.After(noticed) && v.Began.Before(healed) }
	t.Logf("%d logins, %d of them during the outage", len(f.visits(func(visit) bool { return true })), len(f.visits(during)))

	ended := o.p.endedSessions()
	const tooLong = greetingTimeout + time.Second
	if bad := f.visits(func(v visit) bool { return v.Failed != "" || v.Took > tooLong }); len(bad) > 0 {
		t.Errorf("logins failed, or took longer than %v: %s\nthe session of the first: %v", tooLong, listed(bad),
			ended.of(bad[0].Client, bad[0].Began))
	}
	// After the first detection none is slower than usual: far from any time-out.
	if slow := f.visits(func(v visit) bool { return during(v) && v.Took > greetingTimeout/2 }); len(slow) > 0 {
		t.Errorf("logins were slow although the outage had been noticed: %s", listed(slow))
	}
	for _, h := range f.lost() {
		if ended.of(h.Client, h.Began)["backend"] != o.victim || o.keepsSessions {
			t.Errorf("a session was lost: %v\nits line in the log: %v", h, ended.of(h.Client, h.Began))
		}
	}
}

// TestMariaDBFailover: a MariaDB server is killed, and one is stopped, so that its kernel accepts and it never greets.
func TestMariaDBFailover(t *testing.T) {
	servers := startMariaDBs(t, 3)
	victim := servers[0]
	for _, c := range []struct {
		name string
		outage
	}{
		{"killed", outage{
			strike: func(*testing.T) { victim.kill() },
			heal:   func(*testing.T) { victim.again() },
		}},
		{"stopped", outage{
			strike:        func(*testing.T) { victim.signal(syscall.SIGSTOP) },
			heal:          func(*testing.T) { victim.signal(syscall.SIGCONT) },
			keepsSessions: true,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.p = start(t, inFrontOf(quickPool, quickProbe, addressesOf(servers)...))
			c.victim, c.others = "1", []string{"2", "3"}
			c.load = loadOn(c.p, whichMariaDB)
			c.run(t)
		})
	}
}

// TestFailover: every fault that a front end can have.
func TestFailover(t *testing.T) {
	for _, c := range []struct {
		fault         fakefe.Fault
		keepsSessions bool
		// deep has the probe log in and ask: the greeting does not tell of this fault.
		deep bool
	}{
		{fault: fakefe.Refuse, keepsSessions: true},
		{fault: fakefe.Kill},
		{fault: fakefe.Silent, keepsSessions: true},
		{fault: fakefe.Hang, keepsSessions: true},
		{fault: fakefe.Freeze, keepsSessions: true},
		{fault: fakefe.ErrorFirst, keepsSessions: true},
		{fault: fakefe.ResetAfterGreeting, keepsSessions: true, deep: true},
		{fault: fakefe.FallBehind, deep: true},
	} {
		t.Run(c.fault.String(), func(t *testing.T) {
			fes, addresses := startFEs(t, 3)
			probe := quickProbe
			if c.deep {
				probe += deepProbe(t)
			}
			p := start(t, inFrontOf(quickPool, probe, addresses...))
			outage{
				p: p, victim: "1", others: []string{"2", "3"}, load: loadOn(p, whichFE), keepsSessions: c.keepsSessions,
				strike: func(t *testing.T) { suffer(t, fes[0], c.fault) },
				heal:   func(t *testing.T) { suffer(t, fes[0], fakefe.None) },
			}.run(t)
		})
	}
}

// whichFE asks a front end for its name.
const whichFE = "select @@hostname"

// startFEs starts front ends that are called by their numbers and know the tests' account.
func startFEs(t *testing.T, n int) (all []*fakefe.FE, addresses []string) {
	t.Helper()
	for i := range n {
		fe := startFE(t, fakefe.Config{Name: strconv.Itoa(i + 1), Users: map[string]string{appUser: appPassword}})
		all, addresses = append(all, fe), append(addresses, fe.Address())
	}
	return all, addresses
}

func suffer(t *testing.T, fe *fakefe.FE, fault fakefe.Fault) {
	t.Helper()
	if err := fe.Set(fault); err != nil {
		t.Fatal(err)
	}
}

// deepProbe has a probe log in and ask.
func deepProbe(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(appPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("user = %q\npassword_file = %q\nquery = \"select 1\"\n", appUser, file)
}

// loadOn is a light load on a listener: some 100 logins a second, and sessions beside it.
func loadOn(p *process, question string) load {
	return load{Address: p.address("mysql"), User: appUser, Password: appPassword, Question: question,
		Every: 8 * time.Millisecond, Stay: 80 * time.Millisecond, Held: 9, Idle: 3, Pause: 20 * time.Millisecond}
}
