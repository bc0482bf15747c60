package daemon

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// guard keeps web pages of other sites from reading through a visitor's browser what this server tells. There are no
// CORS headers, so a page can't read an answer; it can't show one in a frame; and a request that a browser marks as
// another site's, other than a followed link, is refused. Against names that are made to point here (DNS rebinding) helps
// that a request over loopback must name the host as this host does.
func guard(next http.Handler) http.Handler {
	own, _ := os.Hostname()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate", fromElsewhere(r):
			text(w, http.StatusForbidden, "refused: the request comes from another site's page")
		case overLoopback(r) && !namesThisHost(r.Host, own):
			text(w, http.StatusMisdirectedRequest, "refused: over loopback this host is called by its address, its own name or localhost")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromElsewhere tells whether a script of another site asks: a browser names its origin then.
func fromElsewhere(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	return origin != "" && !strings.EqualFold(host, r.Host)
}

// overLoopback tells whether the request came to a loopback address of this host.
func overLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && local.IP.IsLoopback()
}

// namesThisHost tells whether a Host header is an IP address, localhost or own.
func namesThisHost(host, own string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") || host == strings.ToLower(own)
}
