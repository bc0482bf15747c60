package sniff

import (
	"encoding/binary"
	"strings"
)

// Sizes and numbers of TLS (RFC 8446, 5.1 and 4; RFC 6066, 3; RFC 7301, 3.1).
const (
	recordHead     = 5       // type, version and length of a record
	longestRecord  = 1 << 14 // of its payload
	handshakeHead  = 4       // type and length of a handshake message
	typeHandshake  = 22
	clientHello    = 1
	extServerName  = 0
	extALPN        = 16
	nameIsHostName = 0
)

// Hello is what a TLS client says in the clear before it is answered.
type Hello struct {
	// SNI is the server's name, in lower case; empty when the client names none.
	SNI string
	// ALPN lists the protocols that it offers, such as h2 and http/1.1.
	ALPN []string
}

// TLS tells whether the bytes begin a ClientHello, by its first six.
func TLS(first []byte) Verdict {
	// The version in the record is 3.1 or 3.3 in practice; what follows tells the real one.
	for i, want := range [...]byte{typeHandshake, 3} {
		if len(first) > i && first[i] != want {
			return No
		}
	}
	switch {
	case len(first) <= recordHead:
		return More
	case first[recordHead] != clientHello || !plausible(first):
		return No
	}
	return Yes
}

// plausible looks at the length of the record that b begins with: an empty one is not allowed in a handshake.
func plausible(b []byte) bool {
	n := int(binary.BigEndian.Uint16(b[3:]))
	return n > 0 && n <= longestRecord
}

// ClientHello reads a ClientHello to its end, in however many records it comes. No means that it is none, that it breaks
// the rules, or that it is longer than Most.
func ClientHello(first []byte) (Hello, Verdict) {
	if v := TLS(first); v != Yes {
		return Hello{}, v
	}
	first = first[:min(len(first), Most)]
	message, v := handshake(first)
	if v != Yes {
		return Hello{}, bounded(v, first)
	}
	var h Hello
	if !h.read(message) {
		return Hello{}, No
	}
	return h, Yes
}

// handshake joins the records of a message, and returns what is in it.
func handshake(b []byte) ([]byte, Verdict) {
	var joined []byte
	for records := 0; ; records++ {
		if len(b) < recordHead {
			return nil, More
		}
		if b[0] != typeHandshake || b[1] != 3 || !plausible(b) {
			return nil, No
		}
		record := b[recordHead:]
		n := int(binary.BigEndian.Uint16(b[3:]))
		whole := len(record) >= n
		record = record[:min(n, len(record))]
		switch records {
		case 0:
			joined = record // nearly always the only one
		case 1:
			joined = append(append(make([]byte, 0, 2*len(joined)+len(b)), joined...), record...)
		default:
			joined = append(joined, record...)
		}
		if len(joined) >= handshakeHead {
			if length := handshakeHead + int(joined[1])<<16 + int(joined[2])<<8 + int(joined[3]); length > Most {
				return nil, No
			} else if len(joined) >= length {
				return joined[handshakeHead:length], Yes
			}
		}
		if !whole {
			return nil, More
		}
		b = b[recordHead+n:]
	}
}

// read takes what is of use from a ClientHello's body; false means that its lengths do not fit into each other.
func (h *Hello) read(body []byte) bool {
	r := fields{b: body, ok: true}
	r.take(2 + 32)     // version and random
	r.block(1)         // session
	r.block(2)         // ciphers
	r.block(1)         // compression
	if len(r.b) == 0 { // no extensions: an old client
		return r.ok
	}
	list := fields{b: r.block(2), ok: r.ok}
	for list.ok && len(list.b) > 0 {
		kind := list.number(2)
		extension := fields{b: list.block(2), ok: list.ok}
		switch kind {
		case extServerName:
			h.serverName(&extension)
		case extALPN:
			h.protocols(&extension)
		}
		list.ok = list.ok && extension.ok
	}
	return r.ok && list.ok
}

func (h *Hello) serverName(r *fields) {
	names := fields{b: r.block(2), ok: r.ok}
	for names.ok && len(names.b) > 0 {
		kind, name := names.number(1), names.block(2)
		if kind == nameIsHostName && h.SNI == "" {
			h.SNI = strings.ToLower(string(name))
		}
	}
	r.ok = r.ok && names.ok
}

func (h *Hello) protocols(r *fields) {
	names := fields{b: r.block(2), ok: r.ok}
	for names.ok && len(names.b) > 0 {
		h.ALPN = append(h.ALPN, string(names.block(1)))
	}
	r.ok = r.ok && names.ok
}

// fields reads numbers and blocks behind their lengths. ok turns false when there is less than a length says.
type fields struct {
	b  []byte
	ok bool
}

func (r *fields) take(n int) []byte {
	if !r.ok || len(r.b) < n {
		r.ok, r.b = false, nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *fields) number(size int) int {
	n := 0
	for _, c := range r.take(size) {
		n = n<<8 | int(c)
	}
	return n
}

func (r *fields) block(size int) []byte { return r.take(r.number(size)) }
