// Package sniff recognises protocols by the first bytes that a client sends. Its functions are pure: bytes in, verdict
// out.
package sniff

import "bytes"

// methods are the beginnings of HTTP/1 requests (RFC 9110, 9.1), and of HTTP/2's preface (RFC 9113, 3.4).
var methods = [][]byte{[]byte("GET "), []byte("POST "), []byte("PUT "), []byte("HEAD "), []byte("OPTIONS "), []byte("DELETE "),
	[]byte("CONNECT "), []byte("PATCH "), []byte("TRACE "), []byte("PRI * HTTP/2.0")}

// Foreign names the protocol of a client that a MySQL server did not expect: "http", "tls", "ssh", "proxy" (a PROXY
// header where none is taken), "postgres", or "" when it is none of them.
func Foreign(first []byte) string {
	for _, m := range methods {
		if bytes.HasPrefix(first, m) {
			return "http"
		}
	}
	switch {
	// A TLS record of type handshake (22), version 3.x, with a ClientHello (1) in it (RFC 8446, 5.1 and 4).
	case len(first) >= 6 && first[0] == 22 && first[1] == 3 && first[5] == 1:
		return "tls"
	case bytes.HasPrefix(first, []byte("SSH-")):
		return "ssh"
	case bytes.HasPrefix(first, []byte("PROXY ")), bytes.HasPrefix(first, []byte("\r\n\r\n\x00\r\nQUIT\n")):
		return "proxy"
	// SSLRequest, GSSENCRequest or StartupMessage 3.0 behind a length (PostgreSQL, protocol-message-formats).
	case len(first) >= 8 && first[0] == 0 && first[1] == 0 &&
		(bytes.Equal(first[4:8], []byte{4, 210, 22, 47}) || bytes.Equal(first[4:8], []byte{4, 210, 22, 48}) ||
			bytes.Equal(first[4:8], []byte{0, 3, 0, 0})):
		return "postgres"
	}
	return ""
}
