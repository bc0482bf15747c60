package probe

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// TestAnnouncement: a server that greets only after the PROXY header gets it, and one whose port alone is asked, but no
// HTTP server does.
func TestAnnouncement(t *testing.T) {
	for version, header := range map[string]string{"v1": "PROXY UNKNOWN\r\n", "v2": "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"} {
		t.Run(version, func(t *testing.T) {
			heard := make(chan string, 10)
			address := serve(t, func(conn net.Conn) {
				got := make([]byte, len(header))
				io.ReadFull(conn, got)
				heard <- string(got)
				conn.Write(packet(starRocks().Append(nil), 0))
				io.Copy(io.Discard, conn)
			})
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {}))
			defer web.Close()
			target := Target{Host: "127.0.0.1", Addresses: func() []netip.AddrPort { return []netip.AddrPort{address} }}
			for _, kind := range []string{TypeMySQL, TypeTCP} {
				r := Once(t.Context(), Config{Type: kind, Timeout: long, SendProxy: version, HTTP: "http://" + strings.TrimPrefix(web.URL, "http://") + "/"}, target)
				if r.Verdict != Fit {
					t.Errorf("%s: %+v", kind, r)
				}
				if got := <-heard; got != header {
					t.Errorf("%s: the server got %q", kind, got)
				}
			}
		})
	}
}
