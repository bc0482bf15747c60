package balancer

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSlowAndHostileClients: hundreds of clients that begin something and stop, after each byte of a ClientHello, of a
// header and of a request in turn, or that claim huge lengths. All are cut by deadlines, and others log in meanwhile.
func TestSlowAndHostileClients(t *testing.T) {
	_, fes := startFEs(t, 1, nil)
	first := hello(t, "fe.example")
	var began []string
	for _, whole := range []string{first, healthRequest, strings.Repeat("GET /x", 100)} {
		for i := 1; i < len(whole) && i < 150; i++ {
			began = append(began, announcedV2+whole[:i])
		}
	}
	for i := range announcedV2 {
		began = append(began, announcedV2[:i], announcedV1[:i])
	}
	began = append(began, announcedV2+"\x16\x03\x01\x40\x00\x01\x00\x3f\x00", announcedV2[:14]+"\x0f\xf0") // the longest that are allowed
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, sniffing(func(c *Config) {
			l := &c.Listeners[0]
			l.Proxy = ProxyConfig{Accept: networks("127.0.0.0/8"), Timeout: time.Second}
			l.Sniff.Wait, l.Sniff.Timeout, l.LoginTimeout = time.Millisecond, time.Second, time.Second
			l.Sniff.Routes = []SniffRoute{{Protocol: SniffTLS, SNI: []string{"fe.example"}, Pool: "tls"}, {Protocol: SniffHTTP, Host: []string{"x"}, Pool: "http"}}
		}, "127.0.0.1:1", "127.0.0.1:1"), fes...)
		var all sync.WaitGroup
		for _, said := range began {
			c := r.dial()
			c.send(said)
			all.Go(func() { c.wantGone() })
		}
		for range 20 {
			c := r.dial()
			c.send(localV2)
			c.greet()
			c.send(loginPacket("root"))
			if p := c.packet(); p[0] != okPacket {
				t.Errorf("%q is no OK", p)
			}
			c.Close()
		}
		all.Wait()
		ends := map[string]int{}
		for range len(began) + 20 {
			ends[r.record().End]++
		}
		// Those whose first bytes came late were taken for MySQL clients, and greeted.
		for end := range ends {
			switch end {
			case rejectSniffTimeout, rejectProxyTimeout, "client_closed", "server_closed", "login_timeout", "http", "tls", "not_mysql":
			default:
				t.Errorf("%d sessions ended with %s", ends[end], end)
			}
		}
		if ends[rejectProxyTimeout] < len(announcedV2) || ends[rejectSniffTimeout] == 0 {
			t.Error(fmt.Sprint(ends))
		}
	})
}
