package e2e

import (
	"bufio"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
)

// vipRole, in the environment, makes this test's binary one of the programs of the tests of the VIP, which have to run
// in network namespaces of their own.
const vipRole = "FAIRLEAD_VIP_ROLE"

// vipGoal names where a client goes.
const vipGoal = "FAIRLEAD_VIP_GOAL"

// vipEvery is the time from one login to the next, whatever becomes of them. FAIRLEAD_VIP_EVERY=5ms looks closer.
var vipEvery = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("FAIRLEAD_VIP_EVERY")); err == nil && d > 0 {
		return d
	}
	return 50 * time.Millisecond
}()

const (
	// vipPrompt is what a login may take without being called disturbed, on a machine that does not keep anybody waiting. A
	// SYN that is lost costs a second.
	vipPrompt = 500 * time.Millisecond
	// vipGiveUp is when the client gives a login up. A SYN that is lost twice costs three seconds.
	vipGiveUp = 4 * time.Second
	// vipCalm is how many good logins in a row show that all is well.
	vipCalm = 20
	// vipSteps is how many steps a move of the VIP has at most that each take as long as a whole login: a process has to be
	// woken up for each, and each login takes several such.
	vipSteps = 4
)

func init() {
	role := os.Getenv(vipRole)
	if role == "" {
		return
	}
	_ = mysql.SetLogger(quiet{})
	var err error
	switch role {
	case "fes":
		err = vipServe()
	case "client":
		err = vipKnock(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// vipServe is two front ends, until it is killed.
func vipServe() error {
	for _, port := range []string{"9030", "9031"} {
		if _, err := fakefe.Start(fakefe.Config{Name: "fe" + port, Listen: net.JoinHostPort(vipFE, port)}); err != nil {
			return err
		}
	}
	select {}
}

// vipKnock logs in at each tick, asks for one row and leaves, until its input ends. It prints a line for each login: when
// it began, how long it took, and what went wrong.
func vipKnock(in io.Reader, out io.Writer) error {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", os.Getenv(vipGoal)
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	over := make(chan struct{})
	go func() { defer close(over); _, _ = io.Copy(io.Discard, in) }()
	var lines sync.Mutex
	var all sync.WaitGroup
	defer all.Wait()
	tick := time.NewTicker(vipEvery)
	defer tick.Stop()
	for {
		all.Go(func() {
			began := time.Now()
			err := vipLogin(connector)
			took := time.Since(began)
			lines.Lock()
			defer lines.Unlock()
			fmt.Fprintf(out, "%d %d %v\n", began.UnixNano(), took, err)
		})
		select {
		case <-over:
			return nil
		case <-tick.C:
		}
	}
}

// vipLogin is one login with a query. It does not go by database/sql, which would try again by itself.
func vipLogin(connector driver.Connector) error {
	ctx, cancel := context.WithTimeout(context.Background(), vipGiveUp)
	defer cancel()
	c, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	rows, err := c.(driver.QueryerContext).QueryContext(ctx, "select 1", nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	return rows.Next(make([]driver.Value, 1))
}

// vipAttempt is a login of the client, as it was printed.
type vipAttempt struct {
	began time.Time
	took  time.Duration
	fault string // empty when there was none
}

func (a vipAttempt) disturbed(prompt time.Duration) bool { return a.fault != "" || a.took > prompt }

func parseAttempt(t *testing.T, line string) vipAttempt {
	t.Helper()
	parts := strings.SplitN(strings.TrimSpace(line), " ", 3)
	if len(parts) != 3 {
		t.Fatalf("the client says %q", line)
	}
	began, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	took, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	a := vipAttempt{began: time.Unix(0, began), took: time.Duration(took)}
	if parts[2] != "<nil>" {
		a.fault = parts[2]
	}
	return a
}

// vipClient is the client, and what it has seen.
type vipClient struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines chan string
	all   []vipAttempt
}

func (l *vipLab) startClient(goal string) *vipClient {
	l.t.Helper()
	c := &vipClient{t: l.t, cmd: l.command("client", "client", os.Args[0]), lines: make(chan string, 1<<12)}
	c.cmd.Env = append(c.cmd.Env, vipGoal+"="+goal)
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		l.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
	}()
	return c
}

// next takes the next login that has ended; false means that there is none any more.
func (c *vipClient) next() (vipAttempt, bool) {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		if !ok {
			return vipAttempt{}, false
		}
		a := parseAttempt(c.t, line)
		c.all = append(c.all, a)
		return a, true
	case <-time.After(patience):
		c.t.Fatal("the client says nothing")
		return vipAttempt{}, false
	}
}

// awaitCalm waits for a number of good logins in a row that began after a moment.
func (c *vipClient) awaitCalm(after time.Time) {
	c.t.Helper()
	timeout := time.Now().Add(patience)
	for calm := 0; calm < vipCalm; {
		a, ok := c.next()
		switch {
		case !ok:
			c.t.Fatal("the client has ended")
		case a.fault != "":
			calm = 0
		case a.began.After(after):
			calm++
		}
		if time.Now().After(timeout) {
			c.t.Fatalf("%d logins, and no calm; the last one: %+v", len(c.all), a)
		}
	}
}

// stop ends the client, and takes what is left.
func (c *vipClient) stop() {
	c.t.Helper()
	c.stdin.Close()
	for ok := true; ok; {
		_, ok = c.next()
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// TestVIP: two nodes share a VIP; what happens to the one that holds it, and what a client sees of that. Another client,
// which goes to a front end directly, tells what the machine alone costs at the same time.
func TestVIP(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, c := range []struct {
		name  string
		fault func(*vipLab)
		most  time.Duration // of an outage
		fails bool          // whether logins may fail
		// between says that the fault comes just after a login's end. A login that is under way when the VIP moves, for
		// the few milliseconds that it takes, is cut by the other node, which knows nothing of it, whoever moves the VIP. Where
		// logins take as long as the time between them, there is no such moment.
		between bool
	}{
		// The bound.
		{"killed", func(l *vipLab) { l.nodes[0].signal(syscall.SIGKILL) }, 300 * time.Millisecond, true, false},
		{"ended in order", func(l *vipLab) { l.nodes[0].signal(syscall.SIGTERM) }, 300 * time.Millisecond, false, true},
		// HAProxy's worst in the same network, with its backends cut off.
		{"all front ends lost to it", func(l *vipLab) { l.ip("-n", l.ns("fe"), "route", "add", "blackhole", l.nodes[0].address+"/32") }, 3301 * time.Millisecond, true, false},
		// HAProxy's worst.
		{"link lost", func(l *vipLab) { l.ip("-n", l.ns("net"), "link", "set", "node1", "down") }, 841 * time.Millisecond, true, false},
		// The script needs two failures that last a second each.
		{"frozen", func(l *vipLab) { l.nodes[0].signal(syscall.SIGSTOP) }, 6 * time.Second, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newVIPLab(t)
			control := l.startClient(net.JoinHostPort(vipFE, vipPort))
			client := l.startClient(net.JoinHostPort(vipAddress, vipPort))
			client.awaitCalm(time.Time{})
			if !c.between {
				<-time.After(rand.N(vipEvery)) // anywhere between two ticks of the client
			}
			began := time.Now()
			c.fault(l)
			l.nodes[1].awaitVIP(true)
			moved := time.Since(began)
			client.awaitCalm(time.Now())
			l.nodes[0].awaitVIP(false)
			client.stop()
			control.stop()
			late := control.lateness()
			o := vipJudge(client.all, vipPrompt+late)
			t.Logf("%s: outage %d ms, %d logins failed and %d slow of %d; the VIP was seen on the other node after %d ms; the machine has cost others %d ms",
				c.name, o.lasted.Milliseconds(), o.failed, o.slow, o.logins, moved.Milliseconds(), late.Milliseconds())
			for i, fault := range o.faults {
				if i < 3 {
					t.Log(fault)
				}
			}
			if most := c.most + vipSteps*late; o.lasted > most {
				t.Errorf("an outage of %v, at most %v is allowed", o.lasted, most)
			}
			if o.failed > 0 && !c.fails && late < vipEvery/2 {
				t.Errorf("%d logins failed, none may", o.failed)
			}
		})
	}
}
