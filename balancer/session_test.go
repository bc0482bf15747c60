package balancer

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"fairlead/balancer/splice"
	"fairlead/internal/fakefe"
)

// parking is a splice.Task of which only Now, Park and Wake exist; each Park does the next thing.
type parking struct {
	splice.Task
	parks []func() error
}

func (p *parking) Now() time.Time { return time.Now() }

func (p *parking) Wake() {}

func (p *parking) Park(time.Time) error {
	do := p.parks[0]
	p.parks = p.parks[1:]
	return do()
}

// TestWaitingForAPlace: what a session makes of the ways in which its wait can end.
func TestWaitingForAPlace(t *testing.T) {
	late := func() error { return nil } // a wake that was meant for an earlier ticket
	for name, test := range map[string]struct {
		end  func(r *poolRig, held *Lease) error
		want error
		led  bool
	}{
		"a place":               {func(_ *poolRig, held *Lease) error { held.Release(); return nil }, nil, true},
		"a place, just in time": {func(_ *poolRig, held *Lease) error { held.Release(); return splice.ErrTimeout }, nil, true},
		"a place, but the client has gone": {func(_ *poolRig, held *Lease) error { held.Release(); return splice.ErrClientGone },
			splice.ErrClientGone, false},
		"a place, but it was cut": {func(_ *poolRig, held *Lease) error { held.Release(); return splice.ErrCut }, splice.ErrCut, false},
		"no hope": {func(r *poolRig, _ *Lease) error {
			r.Order(r.Backends()[0], Disable, "a person")
			return nil
		}, ErrNoBackend, false},
		"too long":            {func(*poolRig, *Lease) error { return splice.ErrTimeout }, errQueueTimeout, false},
		"the client has gone": {func(*poolRig, *Lease) error { return splice.ErrClientGone }, splice.ErrClientGone, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, full)
			r.join(nil, "one")
			held := r.take("one", Request{})
			task := &parking{parks: []func() error{late, late, func() error { return test.end(r, held) }}}
			s := &session{pool: r.Pool, config: r.Pool.config.Load(), task: task, listener: &Listener{}, terms: &terms{own: target{pool: r.Pool}}}
			err := s.acquire(nil, time.Now().Add(hang))
			if !errors.Is(err, test.want) || (s.lease != nil) != test.led {
				t.Errorf("%v, lease %v; want %v, a lease: %v", err, s.lease, test.want, test.led)
			}
			if len(task.parks) != 0 {
				t.Errorf("it did not wait again: %d waits are left", len(task.parks))
			}
			s.lease.Release()
			held.Release()
			if got := r.Status(); got.Sessions != 0 || got.Queued != 0 {
				t.Errorf("at the end %d sessions, %d in the queue", got.Sessions, got.Queued)
			}
		})
	}
}

// TestSessionsAreClosedOnDown, those that are joined; who is still on the way to that backend is led to another.
func TestSessionsAreClosedOnDown(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Pools[0].SessionsOnDown = CloseSessions
			c.Pools[0].GreetingTimeout = patient
			c.Pools[0].Backends[1].Backup = true
		}, addresses...)
		joined, loggingIn := r.enter(), r.dial()
		loggingIn.greet()
		fes[0].Set(fakefe.Silent)
		var late sync.WaitGroup
		for range 3 {
			late.Go(func() { r.enter().Close() })
		}
		if err := fes[0].Await(t.Context(), func(c fakefe.Counts) bool { return c.Present[fakefe.Waiting] == 3 }); err != nil {
			t.Fatal(err)
		}
		b := r.Pool("fe").Backends()[0]
		r.Pool("fe").Report(b, Probe{At: time.Now(), Verdict: Unfit, Reason: "the probe said so"})
		if s := r.wantEnd("backend_down"); s.Backend != addresses[0] {
			t.Errorf("the record is %+v", s)
		}
		if _, err := joined.rest(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client sees %v, want a reset", err)
		}
		late.Wait()
		for range 3 {
			if s := r.wantEnd("client_closed"); s.Backend != addresses[1] {
				t.Errorf("the record is %+v", s)
			}
		}
		loggingIn.send(loginPacket("root")) // it was greeted, and is closed like the others once it is in
		loggingIn.packet()
		if s := r.wantEnd("backend_down"); s.Backend != addresses[0] {
			t.Errorf("the record is %+v", s)
		}

		r.Pool("fe").Report(r.Pool("fe").Backends()[1], Probe{At: time.Now(), Verdict: Unfit, Reason: "the probe said so"})
		fes[0].Restore()
		again := r.enter()                 // the last resort: what is down anyway does not close it
		again.send("\x01\x00\x00\x00\x0e") // COM_PING
		if p := again.packet(); p[0] != okPacket {
			t.Errorf("%q is no OK", p)
		}
	})
}

// TestLastResortOfATCPPool: there, too, the backend that worked last is tried first.
func TestLastResortOfATCPPool(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		served := backendOf(t, func(c *net.TCPConn) { io.WriteString(c, "here") })
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Pools[0].Protocol = TCP
			c.Pools[0].Backends[1].Weight = 1000
		}, "127.0.0.1:1", served)
		expect(t, r.dial(), "here")
		for _, b := range r.Pool("fe").Backends() {
			r.Pool("fe").Report(b, Probe{At: time.Now(), Verdict: Unfit, Reason: "the probe said so"})
		}
		expect(t, r.dial(), "here")
		if n := r.Status().Pools[0].Backends[0].Total; n != 0 {
			t.Errorf("the other one was tried %d times", n)
		}
	})
}

// startled is a Watcher with a fault.
type startled struct{ nobodyWatches }

func (startled) Suspect(*Backend) { panic("startled") }

// TestAPanicCostsItsOwnSession, is told of, and leaves the books in order.
func TestAPanicCostsItsOwnSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(_ *Config, o *Options) { o.Watcher = startled{} }, addresses...)
		r.panics = 1
		bystander := r.enter()
		fes[0].Set(fakefe.Refuse)
		c := r.dial()
		c.wantGone()
		if s := r.wantEnd("panic"); s.Backend != addresses[0] {
			t.Errorf("the record is %+v", s)
		}
		if lines := r.log.with("ERROR", "this is a fault of fairlead", "startled", "session_test.go"); len(lines) != 1 {
			t.Errorf("logged %q, want one line with a stack", lines)
		}
		bystander.send("\x01\x00\x00\x00\x0e") // COM_PING
		if p := bystander.packet(); p[0] != okPacket {
			t.Errorf("%q is no OK", p)
		}
	})
}

func TestIdleTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].IdleTimeout = 100 * time.Millisecond }, addresses...)
		c := r.enter()
		c.wantGone()
		r.wantEnd("idle_timeout")
	})
}

func TestLinger(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		over := make(chan struct{})
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Pools[0].Protocol, c.Pools[0].Linger = TCP, 100*time.Millisecond
		}, backendOf(t, func(c *net.TCPConn) {
			io.ReadAll(c) // to the client's end; to that it says nothing
			<-over
		}))
		c := r.dial()
		c.CloseWrite()
		r.wantEnd("linger_timeout")
		close(over)
	})
}

// TestSeveralAddresses of one listener, IPv6 among them, lead to the same pool.
func TestSeveralAddresses(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
			t.Skipf("no IPv6 here: %v", err)
		} else {
			l.Close()
		}
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Listeners[0].Bind = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("[::]:0")}
		}, addresses...)
		open := r.Listener("mysql").Addresses()
		_, dual, _ := net.SplitHostPort(open[1].String())
		for _, to := range []string{open[0].String(), "[::1]:" + dual, "127.0.0.1:" + dual} {
			c := dialClient(t, to)
			c.greet()
			c.Close()
			s := r.wantEnd("client_closed")
			if s.Client.String() != c.LocalAddr().String() {
				t.Errorf("the client of %s is %v, want %v", to, s.Client, c.LocalAddr())
			}
		}
	})
}

// TestSessionIsSmall: an idle session is to cost less than 1,000 bytes in all, and beyond 256 the allocator takes 288 for it.
func TestSessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(session{}); unsafe.Sizeof(uintptr(0)) == 8 && size > 256 {
		t.Errorf("a session has %d bytes", size)
	}
}
