package sniff

import (
	"bytes"
	"strings"
)

// preface is what an HTTP/2 client begins with, gRPC too (RFC 9113, 3.4).
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// HTTP tells whether the bytes begin a request of HTTP/1 with one of the usual methods, or are the preface of HTTP/2.
func HTTP(first []byte) Verdict {
	v := No
	for _, m := range methods {
		switch begins(first, m) {
		case Yes:
			return Yes
		case More:
			v = More
		}
	}
	return v
}

// Host finds the host that a request of HTTP/1 is for, in lower case and without a port: in its line (RFC 9112, 3.2.2) or
// in the field Host. No means that it is no such request, or one without a host; HTTP/2 hides it.
func Host(first []byte) (string, Verdict) {
	first = first[:min(len(first), Most)]
	if v := HTTP(first); v != Yes {
		return "", v
	}
	if bytes.HasPrefix(first, preface[:4]) {
		return "", No
	}
	line, rest, ok := bytes.Cut(first, []byte("\n"))
	if !ok {
		return "", bounded(More, first)
	}
	if host := absolute(line); host != "" {
		return host, Yes
	}
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return "", bounded(More, first)
		}
		rest = after
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return "", No // the end of the head
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && len(name) == 4 && strings.EqualFold(string(name), "host") {
			return named(string(bytes.Trim(value, " \t")))
		}
	}
}

// absolute is the host of a request line whose target is a whole URL, as to a proxy, or empty.
func absolute(line []byte) string {
	_, target, _ := strings.Cut(string(line), " ")
	target, _, _ = strings.Cut(target, " ")
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	host, _ := named(rest)
	return host
}

// named is a host without its port.
func named(host string) (string, Verdict) {
	if end := strings.LastIndexByte(host, ':'); end >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:end]
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" {
		return "", No
	}
	return host, Yes
}
