package sniff

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestCaptures: each client's first bytes are of one protocol and no other.
func TestCaptures(t *testing.T) {
	want := map[string]string{
		"tls": "tls", "tls, no name": "tls", "tls 1.2": "tls", "tls in pieces": "tls",
		"curl": "http", "stream load": "http", "gRPC": "http", "to a proxy": "http", "HTTP/1.0": "http", "line feeds": "http",
		"login": "mysql", "SSLRequest": "mysql", "old login": "mysql",
		"psql": "", "ssh": "", "PROXY v1": "proxy", "PROXY v2": "proxy",
	}
	for what, first := range captures(t) {
		_, _, proxy := Proxy(first)
		_, whole := ClientHello(first)
		for protocol, got := range map[string]Verdict{"tls": TLS(first), "http": HTTP(first), "mysql": MySQL(first), "proxy": proxy} {
			if expected := map[bool]Verdict{true: Yes, false: No}[want[what] == protocol]; got != expected {
				t.Errorf("%s: %s? %v", what, protocol, got)
			}
		}
		if (whole == Yes) != (want[what] == "tls") {
			t.Errorf("%s: a whole ClientHello? %v", what, whole)
		}
	}
}

// TestRecorded: so are those of real programs.
func TestRecorded(t *testing.T) {
	for what, first := range recorded(t) {
		want, _, _ := strings.Cut(what, "-")
		_, _, proxy := Proxy(first)
		for protocol, got := range map[string]Verdict{"tls": TLS(first), "http": HTTP(first), "mysql": MySQL(first), "proxy": proxy} {
			if expected := map[bool]Verdict{true: Yes, false: No}[want == protocol]; got != expected {
				t.Errorf("%s: %s? %v", what, protocol, got)
			}
		}
	}
	if h, v := ClientHello(recorded(t)["tls-curl"]); v != Yes || h.SNI != "fe1.fe.example" || !reflect.DeepEqual(h.ALPN, []string{"h2", "http/1.1"}) {
		t.Errorf("curl's hello: %v, %v", h, v)
	}
	if host, v := Host(recorded(t)["http-curl-stream-load"]); v != Yes || host != "127.0.0.1" {
		t.Errorf("the host of a stream load: %q, %v", host, v)
	}
}

func TestClientHello(t *testing.T) {
	one := hello(t, &tls.Config{ServerName: "Sql.FE.example", NextProtos: []string{"h2", "http/1.1"}})
	want := Hello{SNI: "sql.fe.example", ALPN: []string{"h2", "http/1.1"}}
	for _, size := range []int{1, 2, 3, 5, 100, len(one)} {
		first := split(one, size)
		if got, v := ClientHello(append(first, "more"...)); v != Yes || !reflect.DeepEqual(got, want) {
			t.Errorf("in records of %d: %v, %v", size, got, v)
		}
		for n := range first {
			if _, v := ClientHello(first[:n]); v != More {
				t.Fatalf("%d of %d bytes in records of %d: %v", n, len(first), size, v)
			}
		}
	}
	if got, v := ClientHello(hello(t, &tls.Config{})); v != Yes || got.SNI != "" || got.ALPN != nil {
		t.Errorf("without a name: %v, %v", got, v)
	}
}

func TestNoClientHello(t *testing.T) {
	good := hello(t, &tls.Config{ServerName: "fe.example"})
	change := func(at int, b byte) []byte {
		c := bytes.Clone(good)
		c[at] = b
		return c
	}
	for what, first := range map[string][]byte{
		"an alert":                   change(0, 21),
		"SSL 2":                      change(1, 2),
		"a ServerHello":              change(5, 2),
		"an empty record":            claim(0, 100),
		"a record too long":          claim(longestRecord+1, 100),
		"a message too long":         claim(100, Most+1),
		"nothing in it":              claim(4, 0),
		"a session too long":         change(recordHead+handshakeHead+34, 255),
		"other records between":      append(split(good, 50)[:recordHead+50], 23, 3, 3, 0, 1),
		"a message that never ends":  append(claim(longestRecord, Most), make([]byte, Most)...),
		"thousands of small records": split(append(claim(0, Most), make([]byte, Most)...), 1),
	} {
		if h, v := ClientHello(first); v != No {
			t.Errorf("%s: %v, %v", what, h, v)
		}
	}
}

func TestHost(t *testing.T) {
	for first, want := range map[string]string{
		curlRequest: "fe.example yes", streamLoad: "2001:db8::1 yes", toProxy: "two.example yes", withoutHost: " no", grpcPreface: " no",
		bareLineFeeds:                       "one.example yes",
		psqlSSL:                             " no",
		"GET / HTTP/1.1\r\nHost: a":         " more", // it may go on
		"GET / HTTP/1.1\r\nHost: a\r\n":     "a yes",
		"GET / HTTP/1.1\r\nHost:\r\n":       " no",
		"GET / HTTP/1.1\r\nXHost: a\r\n":    " more",
		"GET http://x":                      " more",
		"GET http://u@x/ HTTP/1.1\r\n":      "u@x yes",
		"G":                                 " more",
		"":                                  " more",
		"GET /" + strings.Repeat("x", Most): " no",
	} {
		host, v := Host([]byte(first))
		if got := fmt.Sprint(host, " ", v); got != want {
			t.Errorf("%.50q: %s, want %s", first, got, want)
		}
	}
}

// TestEveryPrefix: of each client's first bytes, each beginning says More or what the whole says.
func TestEveryPrefix(t *testing.T) {
	for what, first := range captures(t) {
		for name, verdict := range recognisers {
			whole := verdict(first)
			for n := range first {
				if v := verdict(first[:n]); v != More && v != whole {
					t.Errorf("%s: %s says %s of %d bytes, and %s of all", what, name, v, n, whole)
				}
			}
		}
	}
}

// recognisers are all of them, with what they found as text.
var recognisers = map[string]func([]byte) Verdict{
	"TLS": TLS, "HTTP": HTTP, "MySQL": MySQL,
	"ClientHello": func(b []byte) Verdict { _, v := ClientHello(b); return v },
	"Host":        func(b []byte) Verdict { _, v := Host(b); return v },
	"Proxy":       func(b []byte) Verdict { _, _, v := Proxy(b); return v },
}

// holds checks what must be true of every recogniser: Most bytes are always enough, and then no byte after them changes
// what was found.
func holds(t *testing.T, first, more []byte, recognise func([]byte) (found string, v Verdict)) {
	found, v := recognise(first[:len(first):len(first)])
	if v == More {
		if len(first) >= Most {
			t.Fatalf("%d bytes are not enough", len(first))
		}
		return
	}
	again, w := recognise(append(first[:len(first):len(first)], more...))
	if w != v || again != found {
		t.Fatalf("%q: %v %q becomes %v %q with %q after it", first, v, found, w, again, more)
	}
}

func seed(f *testing.F) {
	for _, all := range []map[string][]byte{captures(f), recorded(f)} {
		for _, first := range all {
			f.Add(first, []byte("more"))
			f.Add(first[:len(first)/2], first[len(first)/2:])
		}
	}
}

func FuzzClientHello(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, first, more []byte) {
		holds(t, first, more, func(b []byte) (string, Verdict) { return "", TLS(b) })
		holds(t, first, more, func(b []byte) (string, Verdict) {
			h, v := ClientHello(b)
			if len(h.SNI) > 3*len(b) || len(h.ALPN) > len(b) { // invalid UTF-8 grows when it is put into lower case
				t.Fatalf("%d bytes become %v", len(b), h)
			}
			return fmt.Sprint(h), v
		})
	})
}

func FuzzHTTP(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, first, more []byte) {
		holds(t, first, more, func(b []byte) (string, Verdict) { return "", HTTP(b) })
		holds(t, first, more, func(b []byte) (string, Verdict) { return Host(b) })
	})
}

func FuzzMySQL(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, first, more []byte) {
		holds(t, first, more, func(b []byte) (string, Verdict) { return "", MySQL(b) })
	})
}

func FuzzProxy(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, first, more []byte) {
		holds(t, first, more, func(b []byte) (string, Verdict) {
			h, n, v := Proxy(b)
			if n > len(first) && v == Yes && len(b) == len(first) {
				t.Fatalf("%d of %d bytes", n, len(b))
			}
			return fmt.Sprint(h, n), v
		})
	})
}
