package balancer

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// TestSilenceIsMySQL: who waits to be greeted is led to the listener's pool, or to that of a route for MySQL.
func TestSilenceIsMySQL(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		for _, pool := range []string{"fe", "tls"} {
			r := serve(t, kind, sniffing(func(c *Config) {
				c.Listeners[0].Sniff.Wait, c.Listeners[0].Pool = time.Millisecond, pool
				c.Listeners[0].Sniff.Routes = append(c.Listeners[0].Sniff.Routes, SniffRoute{Protocol: SniffMySQL, Pool: "fe"})
			}, "127.0.0.1:1", "127.0.0.1:1", toHTTP), fes...)
			c, err := login(r.address(), "")
			if err != nil {
				t.Fatal(err)
			}
			if got := ask(t, c, "select 1"); got != "1" {
				t.Errorf("select 1 is %q", got)
			}
			c.Close()
			if s := r.record(); s.Pool != "fe" || s.User != "root" {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestHalfAHelloIsCut by the time-out. A client whose first bytes come later than that is none that is tested here, and is
// taken for MySQL.
func TestHalfAHelloIsCut(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	half := hello(t, "fe.example")[:100]
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, sniffing(func(c *Config) {
			c.Listeners[0].Sniff.Wait, c.Listeners[0].Sniff.Timeout = 50*time.Millisecond, 50*time.Millisecond
		}, "127.0.0.1:1", "127.0.0.1:1", SniffRoute{Protocol: SniffTLS, SNI: []string{"fe.example"}, Pool: "tls"}, toHTTP), fes...)
		for _, said := range []string{half, "GE"} {
			cut := func() bool {
				c := r.dial()
				c.send(said)
				c.wantGone()
				return r.record().End == rejectSniffTimeout
			}
			for tries := 0; !cut(); tries++ {
				if tries > 100 {
					t.Fatalf("%q is never cut", said)
				}
			}
		}
	})
}

// TestClientsThatLeaveUnheard say nothing, or not enough.
func TestClientsThatLeaveUnheard(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, sniffing(nil, "127.0.0.1:1", "127.0.0.1:1", toHTTP, toTLS), fes...)
		c := r.dial()
		c.Close()
		r.wantEnd("client_gone")
		c = r.dial()
		c.send("GE")
		c.Close() // before MySQL's pool, that is rubbish
		r.wantReject("not_mysql")
		c = r.dial()
		c.send("GE")
		eventually(t, "the session", func() bool { return r.Sessions() == 1 })
		r.Close()
		c.wantGone()
		r.wantEnd("drained")
	})
}

// TestLateClientsAreHeard: who says its first word after the wait, but before a server has greeted, gets what it asks for.
func TestLateClientsAreHeard(t *testing.T) {
	for _, half := range []bool{false, true} {
		t.Run(fmt.Sprint("half-closed ", half), func(t *testing.T) { lateClient(t, half) })
	}
}

func lateClient(t *testing.T, half bool) {
	eachEngine(t, func(t *testing.T, kind string) {
		connected, spoken := make(chan struct{}), make(chan struct{})
		mysql := backendOf(t, func(c *net.TCPConn) {
			connected <- struct{}{}
			<-spoken
			io.WriteString(c, plainGreeting)
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("the MySQL server hears %q", b)
			}
		})
		backend := record(t)
		r := serve(t, kind, sniffing(func(c *Config) { c.Listeners[0].Sniff.Wait = time.Millisecond }, backend.address, backend.address, toHTTP), mysql)
		c := r.dial()
		<-connected
		c.send(healthRequest)
		awaitAcknowledged(t, c)
		if half {
			c.CloseWrite() // MySQL clients that do so have gone
		}
		spoken <- struct{}{}
		c.CloseWrite()
		if got := <-backend.heard; got != healthRequest {
			t.Errorf("the server got %q", got)
		}
		c.rest()
		if s := r.wantEnd("client_closed"); s.Pool != "http" || s.ConnectionID != 0 {
			t.Errorf("%+v", s)
		}
	})
}
