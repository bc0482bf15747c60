package balancer

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
	"fairlead/internal/proxywire"
)

// proxied makes the listener believe what comes from this host.
func proxied(change func(*ListenerConfig)) func(*Config, *Options) {
	return func(c *Config, _ *Options) {
		c.Listeners[0].Proxy = ProxyConfig{Accept: networks("127.0.0.0/8"), Timeout: hang}
		if change != nil {
			change(&c.Listeners[0])
		}
	}
}

const (
	announcedV1 = "PROXY TCP4 192.0.2.7 198.51.100.2 56324 9030\r\n"
	announcedV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x02\xdc\x04\x23\x46"
	announced6  = "PROXY TCP6 2001:db8::7 2001:db8::2 1 9030\r\n"
	localV2     = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// TestAnnouncedClients log in as usual, and are who the header says.
func TestAnnouncedClients(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, proxied(nil), fes...)
		for _, c := range []struct {
			header, want string
			size         int
		}{
			{announcedV1, "192.0.2.7:56324", 1000}, {announcedV1, "192.0.2.7:56324", 1}, {announcedV2, "192.0.2.7:56324", 1000},
			{announcedV2, "192.0.2.7:56324", 3}, {announced6, "[2001:db8::7]:1", 1000}, {"PROXY UNKNOWN\r\n", "", 1000}, {localV2, "", 1000},
		} {
			client := r.dial()
			chunks(t, client, c.header, c.size)
			client.greet()
			client.send(loginPacket("root"))
			if p := client.packet(); p[0] != okPacket {
				t.Fatalf("%q is no OK", p)
			}
			want := c.want
			if want == "" {
				want = client.LocalAddr().String()
			}
			if live := r.LiveSessions(); len(live) != 1 || live[0].Client.String() != want {
				t.Errorf("after %q the list has %+v", c.header, live)
			}
			client.Close()
			if s := r.record(); s.Client.String() != want || s.User != "root" {
				t.Errorf("after %q the client is %v, want %s", c.header, s.Client, want)
			}
		}
	})
}

func TestNoHeader(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, proxied(nil), fes...)
		for said, reason := range map[string]string{
			loginPacket("root"):                       rejectProxyMissing,
			"GET / HTTP/1.1\r\n":                      rejectProxyMissing,
			"PROXY TCP4 192.0.2.7\r\n":                rejectProxyMalformed,
			"PROXY " + strings.Repeat("x", 200):       rejectProxyMalformed,
			announcedV2[:14] + "\xff\xff":             rejectProxyMalformed,
			strings.Replace(announcedV2, "!", "1", 1): rejectProxyMalformed,
		} {
			c := r.dial()
			c.send(said)
			wantRefusal(t, asError(c.packet()), 1130, "127.0.0.1", "PROXY header")
			c.wantGone()
			r.wantReject(reason)
		}
		for _, said := range []string{"", "PROXY TCP4"} { // a check of the proxy's own: it closes
			c := r.dial()
			c.send(said)
			c.Close()
			r.wantEnd("client_gone")
		}
	})
}

// What came behind a header waits for a server with its session, and with no other.
func TestBehindTheHeader(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		heard := make(chan string, 3)
		server := backendOf(t, func(c *net.TCPConn) {
			b, _ := io.ReadAll(c)
			heard <- string(b)
		})
		r := serve(t, kind, func(c *Config, o *Options) {
			proxied(nil)(c, o)
			c.Pools[0].Protocol, c.Pools[0].MaxSessions, c.Pools[0].Queue = TCP, 1, 10
		}, server)
		said := []string{"one", "twotwo", "threethreethree"}
		var all []*client
		for i, what := range said {
			c := r.dial()
			c.send(announcedV1 + what)
			eventually(t, "the client to wait, but for the first one", func() bool {
				s := r.Pool("fe").Status()
				return s.Sessions == 1 && s.Queued == i
			})
			all = append(all, c)
		}
		for i, c := range all {
			c.CloseWrite()
			c.rest()
			c.Close()
			r.wantEnd("client_closed")
			if got := <-heard; got != said[i] {
				t.Errorf("the server hears %q, want %q", got, said[i])
			}
		}
	})
}

// asError reads an ERR packet's payload as the driver would.
func asError(payload []byte) error {
	e, err := mysqlwire.ParseError(payload)
	if err != nil {
		return err
	}
	refused := &mysql.MySQLError{Number: e.Code, Message: e.Message}
	copy(refused.SQLState[:], e.State)
	return refused
}

func TestHeaderTooLate(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, proxied(func(l *ListenerConfig) { l.Proxy.Timeout = 20 * time.Millisecond }), fes...)
		for _, said := range []string{"", "PROXY TCP4 192.0.2.7"} {
			c := r.dial()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			c.wantGone()
			r.wantReject(rejectProxyTimeout)
		}
	})
}

// TestOthersThanProxies are served as what they are, or refused.
func TestOthersThanProxies(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		elsewhere := func(from FromOthers) func(l *ListenerConfig) {
			return func(l *ListenerConfig) { l.Proxy.Accept, l.Proxy.FromOthers = networks("10.0.0.0/8"), from }
		}
		t.Run("plain", func(t *testing.T) {
			r := serve(t, kind, proxied(elsewhere(TakePlain)), fes...)
			c := r.enter()
			c.Close()
			if s := r.record(); s.Client.String() != c.LocalAddr().String() {
				t.Errorf("%+v", s)
			}
			c = r.dial()
			c.send(announcedV1) // is believed by nobody
			c.wantGone()
			if s := r.wantReject("proxy"); s.Client.String() != c.LocalAddr().String() {
				t.Errorf("%+v", s)
			}
		})
		t.Run("refuse", func(t *testing.T) {
			r := serve(t, kind, proxied(elsewhere(RefuseOthers)), fes...)
			c := r.dial()
			wantRefusal(t, asError(c.packet()), 1130, "127.0.0.1", "proxies only")
			c.wantGone()
			r.wantReject(rejectNotProxied)
		})
	})
}

// TestGateAsksForTheAnnounced: lists and caps are about the client behind the proxy.
func TestGateAsksForTheAnnounced(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, proxied(func(l *ListenerConfig) {
			l.Gate = GateConfig{Allow: networks("192.0.2.0/24", "2001:db8::/32"), MaxSessionsPerSource: 1}
		}), fes...)
		first := r.dial()
		first.send(announcedV1)
		first.greet()
		for header, want := range map[string]struct {
			code   uint16
			reason string
		}{announcedV1: {1203, rejectSourceFull}, strings.Replace(announcedV1, "192.0.2.7", "203.0.113.1", 1): {1130, rejectDenied}, localV2: {1130, rejectDenied}} {
			c := r.dial()
			c.send(header)
			wantRefusal(t, asError(c.packet()), want.code, "host")
			c.wantGone()
			r.wantReject(want.reason)
		}
		other := r.dial()
		other.send(announced6)
		other.greet()
		first.Close()
		r.record()
		again := r.dial()
		again.send(announcedV2)
		again.greet()
		again.Close()
		other.Close()
		r.record()
		r.record()
	})
}

// TestGateOfSessions without a proxy: each reason, its error, and its count.
func TestGateOfSessions(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	for reason, c := range map[string]struct {
		gate GateConfig
		held int
		code uint16
		word string
	}{
		rejectDenied:       {GateConfig{Deny: networks("127.0.0.0/8")}, 0, 1130, `"mysql"`},
		rejectSourceFull:   {GateConfig{MaxSessionsPerSource: 2}, 2, 1203, "max_sessions_per_source, 2"},
		rejectSourceRate:   {GateConfig{RatePerSource: 1, RatePerSourceBurst: 1}, 1, 1203, "rate_per_source, 1"},
		rejectListenerRate: {GateConfig{Rate: 1, RateBurst: 1}, 1, 1040, "rate, 1"},
	} {
		t.Run(reason, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				r := serve(t, kind, func(config *Config, _ *Options) { config.Listeners[0].Gate = c.gate }, fes...)
				if g := r.Listener("mysql").gate; c.gate.Rate+c.gate.RatePerSource > 0 {
					began := time.Now()
					g.mu.Lock()
					g.now = func() time.Time { return began } // no rate recovers
					g.mu.Unlock()
				}
				var held []*client
				for range c.held {
					held = append(held, r.enter())
				}
				for range 3 {
					refused := r.dial()
					wantRefusal(t, asError(refused.packet()), c.code, c.word)
					refused.wantGone()
					r.wantReject(reason)
				}
				for _, h := range held {
					h.Close()
					r.record()
				}
				if reason == rejectSourceFull {
					r.enter().Close()
					r.record()
				}
			})
		})
	}
}

// TestSendProxy: a server that greets only after the header gets it before anything else, with the right addresses.
func TestSendProxy(t *testing.T) {
	for _, version := range []string{proxywire.V1, proxywire.V2} {
		t.Run(version, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				headers := make(chan proxywire.Header, 10)
				address := backendOf(t, func(c *net.TCPConn) {
					header, err := readHeader(c)
					if err != nil {
						t.Error(err)
						return
					}
					headers <- header
					io.WriteString(c, plainGreeting)
					expect(t, c, loginPacket("root"))
					io.WriteString(c, packetOf(2, ok))
				})
				r := serve(t, kind, func(c *Config, _ *Options) {
					c.Pools[0].SendProxy = version
					c.Listeners = append(c.Listeners, c.Listeners[0])
					c.Listeners[1].Name = "proxied"
					c.Listeners[1].Proxy = ProxyConfig{Accept: networks("127.0.0.0/8"), Timeout: hang}
				}, address)
				c := r.enter()
				near := c.LocalAddr().String()
				want(t, <-headers, near, r.address())
				c.Close()
				r.wantEnd("client_closed")
				for header, w := range map[string][2]string{announcedV1: {"192.0.2.7:56324", "198.51.100.2:9030"}, announced6: {"[2001:db8::7]:1", "[2001:db8::2]:9030"}, localV2: {}} {
					at := r.Listener("proxied").Addresses()[0].String()
					c := dialClient(t, at)
					c.send(header)
					c.greet()
					c.send(loginPacket("root"))
					c.packet()
					if w[0] == "" {
						w = [2]string{c.LocalAddr().String(), at}
					}
					want(t, <-headers, w[0], w[1])
					c.Close()
					r.record()
				}
			})
		})
	}
}

func want(t *testing.T, h proxywire.Header, source, destination string) {
	t.Helper()
	if h.Source != netip.MustParseAddrPort(source) || h.Destination != netip.MustParseAddrPort(destination) {
		t.Errorf("the header is from %v to %v, want %s and %s", h.Source, h.Destination, source, destination)
	}
}

// readHeader reads a PROXY header and no more.
func readHeader(c io.Reader) (proxywire.Header, error) {
	var got bytes.Buffer
	for {
		if _, err := io.CopyN(&got, c, 1); err != nil {
			return proxywire.Header{}, fmt.Errorf("instead of a header: %q, %w", got.String(), err)
		}
		if h, _, err := proxywire.Parse(got.Bytes()); err == nil {
			return h, nil
		}
	}
}

// TestPlainListenersPayNothing: a listener without gate, PROXY headers and sniffing does nothing on arrival, and asks its
// task for nothing.
func TestPlainListenersPayNothing(t *testing.T) {
	s := &session{listener: &Listener{}, terms: &terms{}}
	if n := testing.AllocsPerRun(100, func() {
		if !s.arrive(1) || s.early() != 0 {
			t.Error("turned away")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
