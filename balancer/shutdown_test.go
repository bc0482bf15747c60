package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/fakefe"
	"fairlead/metrics"
)

// shutDown shuts a balancer down beside the test; over is closed when that is done.
func (r *balancerRig) shutDown(ctx context.Context, grace, drain time.Duration) (over chan struct{}) {
	over = make(chan struct{})
	go func() {
		defer close(over)
		r.Shutdown(ctx, grace, drain)
	}()
	return over
}

func await(t *testing.T, what string, over <-chan struct{}) {
	t.Helper()
	select {
	case <-over:
	case <-time.After(hang):
		t.Fatalf("waited in vain for %s", what)
	}
}

func TestShutdownStepByStep(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses...)
		r.Pool("fe").Report(r.Pool("fe").Backends()[0], Probe{At: time.Now(), Verdict: Fit})
		if err := r.Ready(); err != nil {
			t.Fatalf("not ready at the start: %v", err)
		}
		address := r.address()
		early := r.enter()
		over := r.shutDown(t.Context(), patient, hang)
		eventually(t, "the balancer to say that it is not ready", func() bool { return r.Ready() != nil })
		late := r.enter() // during grace clients still come in
		eventually(t, "the listener to be closed", func() bool {
			c, err := net.Dial("tcp", address)
			if err != nil {
				return errors.Is(err, syscall.ECONNREFUSED)
			}
			c.Close()
			return false
		})
		if len(r.Listener("mysql").Addresses()) != 0 {
			t.Error("a closed listener has addresses")
		}
		for _, c := range []*client{early, late} { // sessions go on, and may end by themselves
			c.send("\x01\x00\x00\x00\x0e") // COM_PING
			if p := c.packet(); p[0] != okPacket {
				t.Errorf("%q is no OK", p)
			}
			c.Close()
		}
		await(t, "the shutdown", over)
		if err := fes[0].Await(t.Context(), func(c fakefe.Counts) bool { return c.Connections() == 0 }); err != nil {
			t.Error(err)
		}
		for len(r.records) > 0 {
			if s := r.record(); !strings.HasPrefix(s.End, "client_") {
				t.Errorf("the record is %+v", s)
			}
		}
	})
}

// TestShutdownCuts what is left after drain, or at once when its context is done: nobody mistakes that for a clean end.
func TestShutdownCuts(t *testing.T) {
	for name, test := range map[string]struct{ grace, drain time.Duration }{
		"after drain":           {0, 50 * time.Millisecond},
		"without drain":         {0, 0},
		"at once, not in grace": {hang, hang},
		"at once, not in drain": {0, hang},
	} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				fes, addresses := startFEs(t, 1, nil)
				r := serve(t, kind, nil, addresses...)
				in := r.enter()
				loggingIn := r.dial()
				loggingIn.greet()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				over := r.shutDown(ctx, test.grace, test.drain)
				if test.drain == hang {
					eventually(t, "the shutdown to begin", func() bool { return len(r.log.with("shutting down")) > 0 })
					cancel()
				}
				await(t, "the shutdown", over)
				for _, c := range []*client{in, loggingIn} {
					if _, err := c.rest(); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("the client sees %v, want a reset", err)
					}
				}
				for range 2 {
					r.wantEnd("drained")
				}
				if err := fes[0].Await(t.Context(), func(c fakefe.Counts) bool { return c.Connections() == 0 }); err != nil {
					t.Error(err)
				}
				if len(r.log.with("WARN", "cutting the sessions that are left")) != 1 {
					t.Error("it is not told that sessions were cut")
				}
			})
		})
	}
}

// TestShutdownTellsWhoWaits: a client that waits for a backend reads that there is a shutdown.
func TestShutdownTellsWhoWaits(t *testing.T) {
	for name, queued := range map[string]bool{"for a greeting": false, "in the queue": true} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				fes, addresses := startFEs(t, 1, nil)
				r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].MaxSessions, c.Pools[0].Queue = 1, 1 }, addresses...)
				if queued {
					defer r.enter().Close()
				} else {
					fes[0].Set(fakefe.Silent)
				}
				c := r.dial()
				if queued {
					eventually(t, "the client to be in the queue", func() bool { return r.Status().Pools[0].Queued == 1 })
				} else if err := fes[0].Await(t.Context(), func(c fakefe.Counts) bool { return c.Present[fakefe.Waiting] == 1 }); err != nil {
					t.Fatal(err)
				}
				r.Close()
				answer := c.wantGone()
				if !strings.Contains(answer, "\x1d\x04#08S01fairlead: shutdown in progress") {
					t.Errorf("the client reads %q", answer)
				}
				for len(r.records) > 0 {
					r.wantEnd("drained")
				}
				if b := r.Pool("fe").Backends()[0]; b.State() != Unknown {
					t.Errorf("the backend is %v", b.State())
				}
			})
		})
	}
}

func TestCloseBeforeStart(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses...)
		taken := r.address()
		r.Close()
		hold, err := net.Listen("tcp", taken)
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Close()
		again, err := New(sound(), Options{Log: r.Balancer.log, Metrics: r.metrics})
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		again.Close()
		if again.Ready() == nil {
			t.Error("ready after it was closed")
		}
	})
}

// TestStartListensOnAllOrNone: an address in use is an error that names it, and nothing stays open.
func TestStartListensOnAllOrNone(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		hold, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Close()
		config := sound()
		config.Engine.Kind = kind
		config.Pools[0].Backends = config.Pools[0].Backends[:1]
		config.Listeners = config.Listeners[:1]
		config.Listeners[0].Bind = append(config.Listeners[0].Bind[:0:0], netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort(hold.Addr().String()))
		b, err := New(config, Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		var listen *ListenError
		if err := b.Start(); !errors.As(err, &listen) || !errors.Is(err, syscall.EADDRINUSE) ||
			listen.Listener != "mysql" || listen.Address.String() != hold.Addr().String() {
			t.Fatalf("%v", err)
		}
		if b.Ready() == nil || len(b.Listener("mysql").Addresses()) != 0 {
			t.Error("it listens nevertheless")
		}
	})
}

// TestASessionOutlivesItsListener: what flows goes on while the balancer drains.
func TestASessionOutlivesItsListener(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		more := make(chan struct{})
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].Protocol = TCP }, backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, "before ")
			<-more
			io.WriteString(c, "and after")
		}))
		c := r.dial()
		expect(t, c, "before ")
		over := r.shutDown(t.Context(), 0, hang)
		eventually(t, "the listener to be closed", func() bool { return len(r.Listener("mysql").Addresses()) == 0 })
		close(more)
		expect(t, c, "and after")
		if n, err := io.Copy(io.Discard, c); n != 0 || err != nil { // the server's end, before the client's
			t.Errorf("%d bytes more, %v", n, err)
		}
		c.Close()
		await(t, "the shutdown", over)
		r.wantEnd("server_closed")
	})
}

// TestShutdownBesideEverything: clients come, people look, and a second signal closes at once.
func TestShutdownBesideEverything(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, nil, addresses...)
		address, stop := r.address(), make(chan struct{})
		var beside sync.WaitGroup
		for range 3 {
			beside.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if c, err := login(address, ""); err == nil {
						c.Close()
					}
				}
			})
		}
		for _, look := range []func(){
			func() { r.Status() }, func() { r.Ready() }, func() { r.LiveSessions() }, func() { r.sum("sessions_total") },
		} {
			beside.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						look()
					}
				}
			})
		}
		for range 20 {
			r.record()
		}
		over := r.shutDown(t.Context(), 50*time.Millisecond, hang)
		r.Close()
		await(t, "the shutdown", over)
		close(stop)
		beside.Wait()
	})
}
