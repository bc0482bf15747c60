package probe

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"fairlead/metrics"
)

// A fleet that probes real ports sees a server go and come back, and leaves nothing behind.
func TestFleetOverLoopback(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("probes", func(t *testing.T) {
		reports := make(chan Report, 1000)
		fleet := NewFleet(quiet, metrics.New(metrics.BuildInfo{}), func(_ int, r Report) { reports <- r })
		defer fleet.Close()
		await := func(v Verdict) Result {
			t.Helper()
			deadline := time.After(long)
			for {
				select {
				case r := <-reports:
					if r.Verdict == v {
						return r.Result
					}
				case <-deadline:
					t.Fatalf("not %v", v)
				}
			}
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := netip.MustParseAddrPort(listener.Addr().String())
		go greetAll(listener)
		fleet.Watch(1, at(address), Config{Interval: time.Millisecond, FastInterval: time.Millisecond, Timeout: long})
		if r := await(Fit); r.Version != "8.0.33" {
			t.Errorf("%+v", r)
		}
		listener.Close()
		if r := await(Unfit); r.Step != StepConnect && r.Step != StepGreeting {
			t.Errorf("%+v", r)
		}
		if listener, err = net.Listen("tcp", address.String()); err != nil {
			t.Skipf("the port is taken: %v", err)
		}
		defer listener.Close()
		go greetAll(listener)
		await(Fit)
		fleet.Suspect(1)
		await(Undecided)
		await(Fit)
		fleet.Forget(1)
	})
	for deadline := time.Now().Add(long); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func greetAll(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			conn.Write(packet(starRocks().Append(nil), 0))
			io.Copy(io.Discard, conn)
		}()
	}
}
