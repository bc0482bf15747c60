package balancer

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/balancer/sniff"
	"fairlead/internal/proxywire"
)

// recording is a server of any protocol: it reads to the end, and says how much it has got.
type recording struct {
	address string
	heard   chan string
}

func record(t *testing.T) recording {
	r := recording{heard: make(chan string, 10_000)}
	r.address = backendOf(t, func(c *net.TCPConn) {
		b, err := io.ReadAll(c)
		if err != nil {
			return // a client that broke off
		}
		r.heard <- string(b)
		fmt.Fprintf(c, "%d bytes", len(b))
	})
	return r
}

// sniffing has the listener lead clients to a pool of each protocol. They may be silent for as long as a test may last.
func sniffing(change func(*Config), http, tls string, routes ...SniffRoute) func(*Config, *Options) {
	return func(c *Config, _ *Options) {
		c.Listeners[0].Sniff = SniffConfig{Wait: hang, Timeout: hang, Routes: routes}
		for name, address := range map[string]string{"http": http, "tls": tls} {
			p := c.Pools[0]
			p.Name, p.Protocol, p.Backends = name, TCP, []BackendConfig{{Address: address, Weight: 1}}
			c.Pools = append(c.Pools, p)
		}
		if change != nil {
			change(c)
		}
	}
}

var (
	toHTTP        = SniffRoute{Protocol: SniffHTTP, Pool: "http"}
	toTLS         = SniffRoute{Protocol: SniffTLS, Pool: "tls"}
	healthRequest = "GET /api/health HTTP/1.1\r\nHost: fe.example\r\n\r\n"
	psql          = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
)

// hello is what a TLS client sends first.
func hello(t *testing.T, name string, protocols ...string) string {
	t.Helper()
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tls.Client(near, &tls.Config{ServerName: name, NextProtos: protocols, InsecureSkipVerify: true}).Handshake()
	}()
	b := make([]byte, sniff.Most)
	n, err := far.Read(b)
	far.Close()
	<-ended
	near.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestEachProtocolItsPool: what was read to find out is there, byte for byte, and what follows.
func TestEachProtocolItsPool(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	long := make([]byte, 300_000)
	for i := range long {
		long[i] = byte(rand.Uint32())
	}
	eachEngine(t, func(t *testing.T, kind string) {
		overHTTP, overTLS := record(t), record(t)
		r := serve(t, kind, sniffing(nil, overHTTP.address, overTLS.address, toHTTP, toTLS), fes...)
		for said, backend := range map[string]recording{
			healthRequest: overHTTP, healthRequest + string(long): overHTTP, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes": overHTTP,
			"PUT /api/db/t/_stream_load HTTP/1.1\r\nExpect: 100-continue\r\n\r\n": overHTTP,
			hello(t, "fe.example", "h2"):                                          overTLS, hello(t, "") + string(long): overTLS,
		} {
			for _, size := range []int{1, 7, 1 << 20} {
				if size < 100 && len(said) > 10_000 {
					continue
				}
				c := r.dial()
				chunks(t, c, said, size)
				c.CloseWrite()
				if got := <-backend.heard; got != said {
					t.Errorf("%.30q in pieces of %d: the server got %d bytes, not the %d that were sent", said, size, len(got), len(said))
				}
				if rest, err := c.rest(); rest != fmt.Sprintf("%d bytes", len(said)) || err != nil {
					t.Errorf("the answer is %q, %v", rest, err)
				}
				if s := r.record(); s.End != "client_closed" || s.ToServer != uint64(len(said)) || s.Pool == "fe" {
					t.Errorf("%.30q: %+v", said, s)
				}
			}
		}
	})
}

// TestRoutesByName: SNI, ALPN and Host, the first route that fits.
func TestRoutesByName(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		one, two := record(t), record(t)
		r := serve(t, kind, sniffing(nil, one.address, two.address,
			SniffRoute{Protocol: SniffTLS, SNI: []string{"*.One.example", "one.example"}, Pool: "http"},
			SniffRoute{Protocol: SniffTLS, ALPN: []string{"h2"}, SNI: []string{"two.example"}, Pool: "tls"},
			SniffRoute{Protocol: SniffHTTP, Host: []string{"one.*"}, Pool: "http"},
			SniffRoute{Protocol: SniffHTTP, Host: []string{"TWO.example"}, Pool: "tls"},
		), fes...)
		for said, want := range map[string]recording{
			hello(t, "a.one.example"): one, hello(t, "ONE.example"): one, hello(t, "two.example", "http/1.1", "h2"): two,
			hello(t, "two.example"): {}, hello(t, "three.example", "h2"): {}, hello(t, ""): {},
			"GET / HTTP/1.1\r\nhost: one.example:8030\r\n\r\n": one, "GET / HTTP/1.1\r\nHost: two.example\r\n\r\n": two,
			healthRequest: {}, "GET / HTTP/1.0\r\n\r\n": {}, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": {},
		} {
			c := r.dial()
			c.send(said)
			c.CloseWrite()
			if want.heard != nil {
				if got := <-want.heard; got != said {
					t.Errorf("the server got %q", got)
				}
				c.rest()
				r.record()
				continue
			}
			answer := c.wantGone()
			kind := sniff.Foreign([]byte(said))
			r.wantReject(kind)
			if isHTTP := strings.HasPrefix(answer, "HTTP/1.1 400 "); isHTTP != (kind == "http") || kind == "tls" && answer != "" {
				t.Errorf("the answer to %.20q is %q", said, answer)
			}
		}
	})
}

// TestWhatNoRouteIsFor: in front of MySQL it is refused, in front of a pool that takes any bytes it is served.
func TestWhatNoRouteIsFor(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	rubbish := map[string]string{psql: "postgres", "SSH-2.0-OpenSSH\r\n": "ssh", "hello, world": "not_mysql", loginPacket("root"): "not_mysql", announcedV1: "proxy"}
	eachEngine(t, func(t *testing.T, kind string) {
		rubbish := maps.Clone(rubbish)
		t.Run("mysql", func(t *testing.T) {
			r := serve(t, kind, sniffing(nil, "127.0.0.1:1", "127.0.0.1:1", toHTTP, toTLS), fes...)
			for said, reason := range rubbish {
				c := r.dial()
				c.send(said)
				if answer := c.wantGone(); !strings.Contains(answer, "bad handshake") {
					t.Errorf("the answer to %q is %q", said, answer)
				}
				r.wantReject(reason)
			}
		})
		t.Run("tcp", func(t *testing.T) {
			any, other := record(t), record(t)
			r := serve(t, kind, sniffing(func(c *Config) { c.Listeners[0].Pool, c.Listeners[0].LoginTimeout = "tls", 0 }, other.address, any.address, toHTTP), fes...)
			rubbish["GE"] = "" // and no more: the end decides
			for said := range rubbish {
				c := r.dial()
				c.send(said)
				c.CloseWrite()
				if got := <-any.heard; got != said {
					t.Errorf("%q became %q", said, got)
				}
				c.rest()
				r.record()
			}
		})
	})
}

// TestNobodyToServe: HTTP is told in its own words, TLS gets a close.
func TestNobodyToServe(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, sniffing(nil, nobody, nobody, toHTTP, toTLS), fes...)
		client := http.Client{Timeout: hang, Transport: &http.Transport{DisableKeepAlives: true}}
		for _, body := range []string{"", strings.Repeat("x", 200_000)} {
			answer, err := client.Post("http://"+r.address(), "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "no backend") || err != nil {
				t.Errorf("%s %q, %v", answer.Status, text, err)
			}
			r.wantReject("no_backend")
		}
		c := r.dial()
		c.send(hello(t, "fe.example"))
		if answer := c.wantGone(); answer != "" {
			t.Errorf("TLS is answered %q", answer)
		}
		r.wantReject("no_backend")
	})
}

// TestSniffingBehindAProxy: header in, then the client's first bytes, header out, and the same bytes.
func TestSniffingBehindAProxy(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		backend := record(t)
		r := serve(t, kind, sniffing(func(c *Config) {
			c.Listeners[0].Proxy = ProxyConfig{Accept: networks("127.0.0.0/8"), Timeout: hang}
			c.Pools[1].SendProxy, c.Pools[2].SendProxy = proxywire.V1, proxywire.V1
		}, backend.address, backend.address, toHTTP, toTLS), fes...)
		for _, size := range []int{1, 10, 1 << 20} {
			c := r.dial()
			chunks(t, c, announcedV2+healthRequest, size)
			c.CloseWrite()
			if got := <-backend.heard; got != announcedV1+healthRequest {
				t.Errorf("the server got %q", got)
			}
			c.rest()
			if s := r.record(); s.ToServer != uint64(len(healthRequest)) || s.Client.String() != "192.0.2.7:56324" {
				t.Errorf("%+v", s)
			}
		}
	})
}

// TestHTTPSAndMySQLAtOnce: real clients of three protocols on one port, at the same time.
func TestHTTPSAndMySQLAtOnce(t *testing.T) {
	_, fes := startFEs(t, 2, nil)
	eachEngine(t, func(t *testing.T, kind string) {
		answer := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
		plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
		defer plain.Close()
		defer secure.Close()
		r := serve(t, kind, sniffing(func(c *Config) { c.Listeners[0].Sniff.Wait = time.Second },
			plain.Listener.Addr().String(), secure.Listener.Addr().String(), toHTTP, toTLS), fes...)
		clients := map[string]*http.Client{"http": {Timeout: hang}, "https": {Timeout: hang}}
		clients["http"].Transport = &http.Transport{DisableKeepAlives: true}
		clients["https"].Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "fe.example"}}
		var all sync.WaitGroup
		const each = 20
		for _, scheme := range []string{"http", "https", "mysql"} {
			for range each {
				all.Go(func() {
					if scheme == "mysql" {
						c, err := login(r.address(), "")
						if err != nil {
							t.Error(err)
							return
						}
						defer c.Close()
						if err := pings(c); err != nil {
							t.Error(err)
						}
						return
					}
					body := strings.Repeat(scheme, 20_000)
					a, err := clients[scheme].Post(scheme+"://"+r.address(), "text/plain", strings.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					defer a.Body.Close()
					if b, err := io.ReadAll(a.Body); string(b) != body || err != nil {
						t.Errorf("%d bytes, %v", len(b), err)
					}
				})
			}
		}
		all.Wait()
		pools := map[string]int{}
		for range 3 * each {
			s := r.record()
			if strings.HasPrefix(s.End, "client_") || strings.HasPrefix(s.End, "server_") {
				pools[s.Pool]++
			} else {
				t.Errorf("%+v", s)
			}
		}
		if pools["fe"] != each || pools["http"] != each || pools["tls"] != each {
			t.Errorf("sessions by pool: %v", pools)
		}
	})
}

func pings(c any) error {
	return c.(interface{ Ping(context.Context) error }).Ping(context.Background())
}
