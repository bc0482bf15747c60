package balancer

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
)

// patient bounds the wait for a greeting in tests with silent backends: long enough for a healthy one on a busy machine.
const patient = 3 * time.Second

// prober is a Watcher that probes only when live traffic or the test asks for it.
type prober struct {
	asked   chan *Backend
	probing sync.WaitGroup
}

func newProber() *prober {
	p := &prober{asked: make(chan *Backend, 1000)}
	p.probing.Go(func() {
		for b := range p.asked {
			p.probe(b)
		}
	})
	return p
}

func (p *prober) Watch(*Backend)     {}
func (p *prober) Forget(*Backend)    {}
func (p *prober) Suspect(b *Backend) { p.asked <- b }

// stop returns when nothing is probed any more; nobody may ask then.
func (p *prober) stop() {
	close(p.asked)
	p.probing.Wait()
}

// probe reports whether a backend greets.
func (p *prober) probe(b *Backend) {
	found := Probe{At: time.Now(), Verdict: Unfit, Reason: "the probe found no greeting"}
	if greets(b.Addresses()[0].String()) {
		found.Verdict, found.Reason = Fit, ""
	}
	b.Pool.Report(b, found)
}

func greets(address string) bool {
	c, err := net.DialTimeout("tcp", address, patient)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patient))
	_, payload, err := mysqlwire.ReadPacket(c, nil, packetBuffer)
	if err != nil {
		return false
	}
	_, err = mysqlwire.ParseGreeting(payload)
	return err == nil
}

// traffic is logins that go on all the time.
type traffic struct {
	t       *testing.T
	address string
	stop    chan struct{}
	made    chan struct{} // hears of each login, when somebody listens
	running sync.WaitGroup
	// gate is held by each login while it lasts, and by who must not meet one.
	gate sync.RWMutex
}

func startTraffic(t *testing.T, address string) *traffic {
	w := &traffic{t: t, address: address, stop: make(chan struct{}), made: make(chan struct{})}
	for range 4 {
		w.running.Go(w.run)
	}
	return w
}

func (w *traffic) run() {
	for {
		select {
		case <-w.stop:
			return
		default:
		}
		w.gate.RLock()
		c, err := login(w.address, "")
		if err == nil {
			c.Close()
		} else {
			w.t.Errorf("a login failed: %v", err)
		}
		w.gate.RUnlock()
		select {
		case w.made <- struct{}{}:
		default:
		}
	}
}

// more waits until so many more logins have been made.
func (w *traffic) more(n int) {
	w.t.Helper()
	for range n {
		select {
		case <-w.made:
		case <-time.After(hang):
			w.t.Fatal("no login comes to its end")
		}
	}
}

func (w *traffic) end() {
	close(w.stop)
	w.running.Wait()
}

// TestNoLoginFails as long as one backend is left: backends break one after the other and come back, while logins go on.
func TestNoLoginFails(t *testing.T) {
	faults := map[string]breakage{
		"killed":  {fakefe.Kill, true, []string{"connect_refused", "connect_reset", "greeting_reset", "greeting_closed"}},
		"refuses": {fakefe.Refuse, false, []string{"connect_refused", "connect_reset", "greeting_reset"}},
		"silent":  {fakefe.Silent, false, []string{"greeting_timeout"}},
		"hangs":   {fakefe.Hang, false, []string{"greeting_timeout"}},
		"frozen":  {fakefe.Freeze, true, []string{"greeting_timeout"}},
		"errs":    {fakefe.ErrorFirst, false, []string{"greeting_error"}},
	}
	eachEngine(t, func(t *testing.T, kind string) {
		for name, fault := range faults {
			if name != "hangs" && name != "frozen" { // which without a watcher are as good as silent
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					breakAll(t, kind, fault, nil)
				})
			}
			t.Run(name+", watched", func(t *testing.T) {
				t.Parallel()
				p := newProber()
				defer p.stop()
				breakAll(t, kind, fault, p)
			})
		}
	})
}

// breakage is a fault of backends.
type breakage struct {
	fault fakefe.Fault
	// mid tells that whoever is in the middle of a login when it begins is lost with it, which nobody can help.
	mid     bool
	reasons []string // of redispatches
}

// breakAll breaks three backends, one after the other.
func breakAll(t *testing.T, kind string, what breakage, p *prober) {
	fes, addresses := startFEs(t, 3, nil)
	r := serve(t, kind, func(c *Config, o *Options) {
		c.Pools[0].GreetingTimeout = patient
		if p != nil {
			o.Watcher = p
		}
	}, addresses...)
	defer r.Close() // nobody may ask the prober any more when it stops
	w := startTraffic(t, r.address())
	defer w.end()
	for i, fe := range fes {
		b := r.Pool("fe").Backends()[i]
		w.more(8)
		w.breaks(fe, what)
		r.awaitState(b, Down)
		w.more(8)
		if err := fe.Restore(); err != nil {
			t.Fatal(err)
		}
		if p != nil {
			p.probe(b)
			r.awaitState(b, Up)
		}
	}
	w.more(8)
	r.wantRedispatches(what.reasons)
	for len(r.records) > 0 {
		if s := r.record(); s.Backend == "" {
			t.Errorf("a session reached no backend: %+v", s)
		}
	}
}

func (w *traffic) breaks(fe *fakefe.FE, what breakage) {
	w.t.Helper()
	if what.mid {
		w.gate.Lock()
		defer w.gate.Unlock()
	}
	if err := fe.Set(what.fault); err != nil {
		w.t.Fatal(err)
	}
}

// awaitState waits until a backend is in that state.
func (r *balancerRig) awaitState(b *Backend, want State) {
	r.t.Helper()
	for b.State() != want {
		select {
		case <-r.changes:
		case <-time.After(hang):
			r.t.Fatalf("%v is %v and does not get %v", b, b.State(), want)
		}
	}
}

// wantRedispatches checks that there were some, and only for these reasons.
func (r *balancerRig) wantRedispatches(reasons []string) {
	r.t.Helper()
	families, err := r.metrics.Registry().Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, family := range families {
		if family.GetName() == "fairlead_redispatches_total" {
			for _, series := range family.GetMetric() {
				for _, l := range series.GetLabel() {
					if l.GetName() == "reason" {
						seen[l.GetValue()] = true
					}
				}
			}
		}
	}
	if len(seen) == 0 {
		r.t.Error("nobody was led elsewhere: the fault was not met")
	}
	for reason := range seen {
		if !slices.Contains(reasons, reason) {
			r.t.Errorf("somebody was led elsewhere for %s, want one of %v", reason, reasons)
		}
	}
}

// TestGreetingsThatAreNone: whatever a backend says or does instead of greeting, the client is led to the next one, and
// hears nothing of it.
func TestGreetingsThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		serve  func(*net.TCPConn)
		reason string
		text   string
	}{
		"reset":           {func(c *net.TCPConn) { c.SetLinger(0) }, "greeting_reset", "greeting: reset instead"},
		"close":           {func(c *net.TCPConn) {}, "greeting_closed", "greeting: closed instead"},
		"close in it":     {func(c *net.TCPConn) { c.Write([]byte(plainGreeting[:40])) }, "greeting_closed", "greeting: closed instead"},
		"an error":        {say(packetOf(0, "\xff\x10\x04Too many\x00 connections")), "greeting_error", `greeting: error 1040: "Too many\x00 connections"`},
		"HTTP":            {say("HTTP/1.1 400 Bad Request\r\n\r\n"), "greeting_malformed", "greeting: this is not the MySQL protocol"},
		"another version": {say(packetOf(0, "\x09old")), "greeting_malformed", "greeting: "},
		"an empty packet": {say(packetOf(0, "")), "greeting_malformed", "greeting: "},
		"too long":        {say("\x00\x10\x00\x00"), "greeting_malformed", "greeting: this is not the MySQL protocol"},
		"another number":  {say(packetOf(1, plainGreeting[4:])), "greeting_malformed", "greeting: this is not the MySQL protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				_, addresses := startFEs(t, 1, nil)
				broken := backendOf(t, test.serve)
				r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].Backends[1].Backup = true }, broken, addresses[0])
				r.enter().Close()
				if s := r.wantEnd("client_closed"); s.Backend != addresses[0] {
					t.Errorf("served by %s", s.Backend)
				}
				reason, text := test.reason, test.text
				if name == "reset" && r.gauge("redispatches_total", broken, "connect_reset") == 1 {
					reason, text = "connect_reset", "connect: reset" // it came before anybody could have heard of the connect
				}
				if r.gauge("redispatches_total", broken, reason) != 1 {
					t.Errorf("%s is not counted", reason)
				}
				b := r.Pool("fe").Backends()[0]
				status := r.Status().Pools[0].Backends[0]
				if b.State() != Down || len(status.Reason) < len("live traffic: "+text) ||
					status.Reason[:len("live traffic: "+text)] != "live traffic: "+text || status.Failures != 1 {
					t.Errorf("%v, %+v", b.State(), status)
				}
			})
		})
	}
}

// say is a server that says that and waits for the client to go.
func say(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		c.Write([]byte(text))
		c.Read(make([]byte, 1))
	}
}

// TestTheFirstAddressThatGreets: of a name with several addresses each may be dead in its own way, and the one that
// greeted comes first from then on.
func TestTheFirstAddressThatGreets(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, _ := startFEs(t, 1, func(c *fakefe.Config) { c.Listen = "127.0.0.3:0" })
		_, port, _ := net.SplitHostPort(fes[0].Address())
		silent, err := net.Listen("tcp", net.JoinHostPort("127.0.0.2", port)) // nobody accepts there, and 127.0.0.1 refuses
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { silent.Close() })
		d := &directory{answers: map[string][]string{"fe": {"127.0.0.3", "127.0.0.2", "127.0.0.1"}}}
		r := serve(t, kind, func(c *Config, o *Options) {
			c.Pools[0].GreetingTimeout = patient
			o.Lookup = d.lookup
		}, net.JoinHostPort("fe", port))
		for range 3 {
			r.enter().Close()
			if s := r.wantEnd("client_closed"); s.Backend != net.JoinHostPort("fe", port) {
				t.Errorf("the record is %+v", s)
			}
		}
		b := r.Pool("fe").Backends()[0]
		if b.State() != Unknown || b.Addresses()[0].Addr().String() != "127.0.0.3" || len(b.Addresses()) != 3 {
			t.Errorf("%v, %v", b.State(), b.Addresses())
		}
	})
}

// TestSetupTimeoutBlamesNobody who did not get its due.
func TestSetupTimeoutBlamesNobody(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 2, nil)
		for _, fe := range fes {
			fe.Set(fakefe.Silent)
		}
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Pools[0].GreetingTimeout = 1600 * time.Millisecond
			c.Pools[0].SetupTimeout = 2400 * time.Millisecond // the second attempt begins in time even where the machine pauses
		}, addresses...)
		_, err := login(r.address(), "")
		wantRefusal(t, err, 1040, `pool "fe"`, "setup_timeout")
		if s := r.wantReject("no_backend"); s.Backend != "" || s.Connect != 0 {
			t.Errorf("the record is %+v", s)
		}
		states := []State{r.Pool("fe").Backends()[0].State(), r.Pool("fe").Backends()[1].State()}
		if !slices.Equal(states, []State{Down, Unknown}) {
			t.Errorf("the states are %v: the first had its time, the second had not", states)
		}
	})
}

// TestABlackHole: a backend whose kernel does not answer is left for the next one after connect_timeout.
func TestABlackHole(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		hole := blackHole(t)
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Pools[0].ConnectTimeout = patient
			c.Pools[0].Backends[1].Backup = true
		}, hole, addresses[0])
		r.enter().Close()
		r.wantEnd("client_closed")
		r.wantRedispatches([]string{"connect_timeout"})
		if got := r.Status().Pools[0].Backends[0].Reason; got != "live traffic: connect: nothing within "+patient.String() {
			t.Errorf("the reason is %q", got)
		}
	})
}

// blackHole is an address whose queue of connections is full, so that the kernel drops what comes.
func blackHole(t *testing.T) string {
	t.Helper()
	address := deafListener(t)
	var dialer net.Dialer
	silent := 0
	for range 16 { // a kernel may be generous
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		c, err := dialer.DialContext(ctx, "tcp", address)
		cancel()
		if err == nil {
			t.Cleanup(func() { c.Close() })
			silent = 0
		} else if silent++; silent == 3 { // one may have been this process's delay
			return address
		}
	}
	t.Skip("this kernel's queue has no end")
	return ""
}
