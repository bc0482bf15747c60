package fakefe

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

func TestRefuse(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	set(t, fe, Refuse)
	mustRefuse(t, fe.Address())
	mustRefuse(t, fe.HTTPAddress())
	c.command(mysqlwire.ComPing, "")
	c.ok()
	set(t, fe, None)
	enter(t, fe)
	if fe.Sessions() != 2 {
		t.Errorf("%d sessions, want the old and the new one", fe.Sessions())
	}
}

func TestKillResets(t *testing.T) {
	fe := start(t, Config{})
	idle, greeted, asleep := enter(t, fe), dial(t, fe), enter(t, fe)
	greeted.greet()
	asleep.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)
	set(t, fe, Kill)
	for _, c := range []*client{idle, greeted, asleep} {
		if n := c.wasReset(); n != 0 {
			t.Errorf("%d bytes before the reset", n)
		}
	}
	mustRefuse(t, fe.Address())
	mustRefuse(t, fe.HTTPAddress())
	await(t, fe, "no connections", empty)
	set(t, fe, None)
	enter(t, fe)
}

// TestSilent shows that nothing was sent before the fault ended: what comes first is what the next fault sends.
func TestSilent(t *testing.T) {
	fe := start(t, Config{})
	present := enter(t, fe)
	set(t, fe, Silent)
	first, second, gone := dial(t, fe), dial(t, fe), dial(t, fe)
	await(t, fe, "three connections", func(c Counts) bool { return c.Present[Waiting] == 3 })
	present.command(mysqlwire.ComPing, "")
	present.ok()
	gone.conn.Close()
	await(t, fe, "the end of one", func(c Counts) bool { return c.Present[Waiting] == 2 })
	set(t, fe, ErrorFirst)
	if e := first.refused(1040); e.State != "" || e.Message != "Too many connections" {
		t.Errorf("%+v", e)
	}
	second.refused(1040)
	set(t, fe, Silent)
	late := dial(t, fe)
	await(t, fe, "a connection", func(c Counts) bool { return c.Present[Waiting] == 1 })
	set(t, fe, None)
	late.greet()
	late.login("root", "")
	late.ok()
}

func TestHang(t *testing.T) {
	for range 20 {
		fe := start(t, Config{})
		present := enter(t, fe)
		set(t, fe, Hang)
		first := dial(t, fe)
		present.command(mysqlwire.ComPing, "")
		present.ok()
		if n := fe.Counts().Accepted; n != 1 {
			t.Fatalf("%d connections accepted, want the one from before", n)
		}
		if status, _ := get(t, fe, "/api/health"); status != 200 {
			t.Errorf("/api/health gives %d", status)
		}
		set(t, fe, ErrorFirst)
		first.refused(1040)
		set(t, fe, Hang)
		late := dial(t, fe)
		set(t, fe, None)
		late.greet()
		set(t, fe, Hang)
		fe.Stop()
	}
}

func TestFreeze(t *testing.T) {
	fe := start(t, Config{})
	pinging, killed, left, greeted := enter(t, fe), enter(t, fe), enter(t, fe), dial(t, fe)
	greeted.greet()
	set(t, fe, Freeze)
	pinging.command(mysqlwire.ComPing, "")
	killed.command(mysqlwire.ComPing, "")
	greeted.login("root", "")
	late := dial(t, fe)
	await(t, fe, "two commands", func(c Counts) bool { return c.Present[Busy] == 2 })
	fe.Cut(killed.greeting.ConnectionID, true)
	if n := killed.wasReset(); n != 0 {
		t.Errorf("%d bytes from a frozen FE", n)
	}
	answered := make(chan int)
	go func() {
		status, _ := get(t, fe, "/api/health")
		answered <- status
	}()
	left.conn.CloseWrite()
	set(t, fe, None)
	left.ended()
	pinging.ok()
	greeted.ok()
	late.greet()
	if status := <-answered; status != 200 {
		t.Errorf("/api/health gives %d", status)
	}
}

func TestErrorFirst(t *testing.T) {
	fe := start(t, Config{})
	set(t, fe, ErrorFirst)
	for range 50 {
		c := dial(t, fe)
		c.refused(1040)
		if n := c.ended(); n != 0 {
			t.Errorf("%d bytes after the error", n)
		}
	}
}

func TestResetAfterGreeting(t *testing.T) {
	fe := start(t, Config{})
	set(t, fe, ResetAfterGreeting)
	for range 50 {
		c := dial(t, fe)
		c.greet()
		c.login("root", "")
		if n := c.wasReset(); n != 0 {
			t.Errorf("%d bytes before the reset", n)
		}
	}
	probe := dial(t, fe)
	probe.greet()
	probe.conn.CloseWrite()
	probe.ended()
	set(t, fe, None)
	enter(t, fe)
}

func TestFreezeMidResult(t *testing.T) {
	const size = 1 << 20
	fe := start(t, Config{})
	set(t, fe, FreezeMidResult)
	ask := func() *client {
		c := enter(t, fe)
		c.command(mysqlwire.ComPing, "")
		c.ok()
		c.command(mysqlwire.ComQuery, "select repeat('x', 1048576)")
		for range 3 { // count, column, EOF
			c.must()
		}
		if n, err := io.CopyN(io.Discard, c.in, size/2); err != nil {
			t.Fatalf("%d bytes of the first half: %v", n, err)
		}
		return c
	}
	finished, cut, left := ask(), ask(), ask()
	await(t, fe, "three statements", func(c Counts) bool { return c.Present[Busy] == 3 })
	fe.Cut(cut.greeting.ConnectionID, true)
	// The middle is that of the packet, whose header and length don't count above.
	if n := cut.wasReset(); n > mysqlwire.HeaderLen+4 {
		t.Errorf("%d bytes of the second half", n)
	}
	left.conn.Close()
	await(t, fe, "the end of two", busy)
	set(t, fe, None)
	const rest = mysqlwire.HeaderLen + 4 + size - size/2
	if n, err := io.CopyN(io.Discard, finished.in, rest); err != nil {
		t.Fatalf("%d of %d bytes of the second half: %v", n, rest, err)
	}
	if p := finished.must(); !mysqlwire.IsEOF(p) {
		t.Fatalf("%q is no EOF", p)
	}
	finished.command(mysqlwire.ComPing, "")
	finished.ok()
}

// TestFreezeSmallResults freezes results that have no middle worth the name.
func TestFreezeSmallResults(t *testing.T) {
	for _, statement := range []string{"select 1", "select null", "select ''", "show tables", "show databases"} {
		fe := start(t, Config{})
		set(t, fe, FreezeMidResult)
		c := enter(t, fe)
		c.command(mysqlwire.ComQuery, statement)
		await(t, fe, statement, busy)
		for range 3 {
			c.must()
		}
		fe.Cut(c.greeting.ConnectionID, true)
		if n := c.wasReset(); n > 30 {
			t.Errorf("%s: %d bytes of its rows", statement, n)
		}
		fe.Stop()
	}
}

func TestFallBehind(t *testing.T) {
	fe := start(t, Config{})
	set(t, fe, FallBehind)
	c := enter(t, fe)
	c.command(mysqlwire.ComQuery, "set names utf8")
	c.ok()
	c.command(mysqlwire.ComQuery, "select 1")
	if e := c.refused(1064); !strings.Contains(e.Message, "leader") {
		t.Errorf("%v", e)
	}
	if status, body := get(t, fe, "/api/bootstrap"); status != 200 || !strings.Contains(body, `"status":"FAILED"`) {
		t.Errorf("/api/bootstrap: %d %s", status, body)
	}
	if status, _ := get(t, fe, "/api/health"); status != 200 {
		t.Errorf("/api/health: %d", status)
	}
	set(t, fe, None)
	c.command(mysqlwire.ComQuery, "select 1")
	c.must()
	if status, body := get(t, fe, "/api/bootstrap"); status != 200 || !strings.Contains(body, `"status":"OK"`) {
		t.Errorf("/api/bootstrap: %d %s", status, body)
	}
}

func TestSlow(t *testing.T) {
	fe := start(t, Config{})
	set(t, fe, Slow)
	c := enter(t, fe)
	c.command(mysqlwire.ComPing, "")
	await(t, fe, "the command", busy)
	c.ok()
}

func TestUnknownFault(t *testing.T) {
	fe := start(t, Config{})
	for _, fault := range []Fault{-1, leavingGracefully, gone, 99} {
		if err := fe.Set(fault); err == nil || fe.Fault() != None {
			t.Errorf("Set(%v): %v, now %v", fault, err, fe.Fault())
		}
	}
}

func TestLeave(t *testing.T) {
	fe := start(t, Config{})
	idle, asleep := enter(t, fe), enter(t, fe)
	asleep.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)
	done := fe.Leave(Leaving{Min: time.Nanosecond, Max: time.Hour, Every: time.Millisecond, Idle: time.Millisecond})
	if status, body := get(t, fe, "/api/health"); status != 500 || body != "" {
		t.Errorf("/api/health: %d %q", status, body)
	}
	if n := idle.ended(); n != 0 {
		t.Errorf("%d bytes before the end", n)
	}
	late := dial(t, fe)
	late.greet()
	late.conn.Close()
	select {
	case <-done:
		t.Fatal("gone although a session is left")
	default:
	}
	asleep.conn.Close()
	<-done
	mustRefuse(t, fe.Address())
	mustRefuse(t, fe.HTTPAddress())
	await(t, fe, "no connections", empty)
	set(t, fe, None)
	enter(t, fe)
	if status, _ := get(t, fe, "/api/health"); status != 200 {
		t.Errorf("/api/health: %d after the restart", status)
	}
}

func TestLeaveCutsAtMax(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	c.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)
	<-fe.Leave(Leaving{Min: time.Nanosecond, Max: 2 * time.Millisecond, Every: time.Millisecond})
	if n := c.ended(); n != 0 {
		t.Errorf("%d bytes before the end", n)
	}
}

func TestLeaveIsCalledOff(t *testing.T) {
	fe := start(t, Config{})
	done := fe.Leave(Leaving{})
	again := fe.Leave(Leaving{})
	<-done
	if got := fe.Fault().String(); got != "leaving" {
		t.Errorf("the fault is %s", got)
	}
	set(t, fe, None)
	<-again
	enter(t, fe)
	stopped := fe.Leave(Leaving{})
	fe.Stop()
	<-stopped
}

func TestDorisLeaves(t *testing.T) {
	fe := start(t, Config{Flavour: Doris})
	if status, body := get(t, fe, "/api/health"); status != 200 || !strings.Contains(body, `"online_backend_num":3`) {
		t.Errorf("/api/health: %d %s", status, body)
	}
	fe.Leave(Leaving{})
	if status, body := get(t, fe, "/api/health"); status != 200 || !strings.Contains(body, "Server is not ready") {
		t.Errorf("/api/health: %d %s", status, body)
	}
}

func TestHealth(t *testing.T) {
	fe := start(t, Config{HTTPUser: "root", HTTPPassword: "secret"})
	for _, test := range []struct {
		user, password string
		want           int
	}{{"", "", 401}, {"root", "wrong", 401}, {"admin", "secret", 401}, {"root", "secret", 200}} {
		request, _ := http.NewRequestWithContext(patiently(t), "GET", "http://"+fe.HTTPAddress()+"/api/health", nil)
		if test.user != "" {
			request.SetBasicAuth(test.user, test.password)
		}
		status, body := fetch(t, request)
		if status != test.want || status == 200 && body != `{"online_backend_num":3,"total_backend_num":3,"status":"OK"}` {
			t.Errorf("%s:%s: %d %s", test.user, test.password, status, body)
		}
	}
	if status, _ := get(t, fe, "/api/nothing"); status != 404 {
		t.Errorf("an unknown path gives %d", status)
	}
}

// get fetches a page from an FE, over a connection of its own.
func get(t *testing.T, fe *FE, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(patiently(t), "GET", "http://"+fe.HTTPAddress()+path, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	return fetch(t, request)
}

func fetch(t *testing.T, request *http.Request) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(b)
}
