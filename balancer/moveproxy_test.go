package balancer

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/mysqlwire"
)

// TestMovedLoginsBehindAProxy: routes go by the client that a PROXY header has announced, and both pools are told of it.
func TestMovedLoginsBehindAProxy(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		announced := func(c net.Conn) io.Reader {
			r := bufio.NewReader(c)
			line, err := r.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "PROXY TCP4 203.0.113.9 ") {
				t.Errorf("announced is %q, %v", line, err)
			}
			return r
		}
		r := serveRoutes(t, kind, func(c *Config) {
			c.Listeners[0].Proxy = ProxyConfig{Accept: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: hang}
			for i := range c.Pools {
				c.Pools[i].SendProxy = "v1"
			}
		}, []RouteConfig{{User: []string{"ann"}, Source: networks("203.0.113.0/24"), Pool: "etl"}}, []string{backendOf(t, func(c *net.TCPConn) {
			announced(c)
			io.WriteString(c, plainGreeting)
			io.Copy(io.Discard, c)
		})}, []string{backendOf(t, func(c *net.TCPConn) {
			in := announced(c)
			io.WriteString(c, secondGreeting(mysqlwire.StarRocksCapabilities))
			wantReplay(t, in, richLogin(), nil)
			io.WriteString(c, packetOf(2, ok))
			io.Copy(io.Discard, in)
		})})
		c := r.dial()
		c.send("PROXY TCP4 203.0.113.9 203.0.113.1 5000 9030\r\n")
		expect(t, c, plainGreeting)
		c.send(richLogin())
		expect(t, c, packetOf(2, ok))
		c.Close()
		if s := r.wantEnd("client_closed"); s.Pool != "etl" || s.Client.Addr().String() != "203.0.113.9" {
			t.Errorf("the record is %+v", s)
		}
	})
}
