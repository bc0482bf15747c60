// Package proxywire reads and writes the headers of the PROXY protocol, by which a proxy tells a server whose connection it
// passes on (proxy-protocol.txt of HAProxy, versions 1 and 2).
//
//	header, n, err := proxywire.Parse(first)         // what a proxy has sent
//	b, err := proxywire.Append(nil, "v2", client, listener)
//	b, err = proxywire.Append(nil, "v1", none, none) // a connection of the balancer's own, such as a probe
package proxywire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"
)

// Versions, as configurations name them.
const (
	V1 = "v1"
	V2 = "v2"
)

const (
	// longestV1 is that of the specification (2.1).
	longestV1 = 107
	// headV2 is what comes before the addresses: signature, command, family and length (2.2).
	headV2 = 16
	// Longest bounds a whole header in bytes. Addresses of IPv6 take 36, the rest is for extensions: a client's certificate
	// has 1 to 2 KiB. Nobody sends 64 KiB, which version 2 would allow.
	Longest = 4096
)

var (
	signatureV1 = []byte("PROXY ")
	signatureV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

var (
	// ErrShort means that the header has begun well, and more bytes are needed.
	ErrShort = errors.New("proxywire: not enough bytes")
	// ErrNone means that the bytes do not begin as a header does.
	ErrNone = errors.New("proxywire: no PROXY header")
	// ErrMalformed means that they do, and then break the rules.
	ErrMalformed = errors.New("proxywire: malformed PROXY header")
)

// Header is what a proxy tells. Without addresses (UNKNOWN, LOCAL, or those of another family than TCP over IP) the
// connection's own ones hold.
type Header struct {
	Source, Destination netip.AddrPort
}

// Length tells how long the header is that b begins with, without a look at what is in it. Errors: ErrShort, ErrNone,
// ErrMalformed for one that is too long. Once it says other than ErrShort, more bytes change nothing.
func Length(b []byte) (int, error) {
	if v1, ok := begins(b, signatureV1); ok {
		if !v1 {
			return 0, ErrShort
		}
		line := b[:min(len(b), longestV1)]
		if end := bytes.IndexByte(line, '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(line) == longestV1 {
			return 0, fmt.Errorf("%w: no end of line within %d bytes", ErrMalformed, longestV1)
		}
		return 0, ErrShort
	}
	v2, ok := begins(b, signatureV2)
	switch {
	case !ok:
		return 0, ErrNone
	case !v2 || len(b) < headV2:
		return 0, ErrShort
	}
	n := headV2 + int(binary.BigEndian.Uint16(b[headV2-2:]))
	switch {
	case n > Longest:
		return 0, fmt.Errorf("%w: %d bytes, at most %d are accepted", ErrMalformed, n, Longest)
	case len(b) < n:
		return 0, ErrShort
	}
	return n, nil
}

// begins tells whether b begins with signature; ok also if b is too short to tell.
func begins(b, signature []byte) (whole, ok bool) {
	n := min(len(b), len(signature))
	return n == len(signature), bytes.Equal(b[:n], signature[:n])
}

// Parse reads the header that b begins with, and tells its length: what follows is the client's. Errors are those of
// Length, and ErrMalformed.
func Parse(b []byte) (Header, int, error) {
	n, err := Length(b)
	if err != nil {
		return Header{}, 0, err
	}
	if b[0] == signatureV2[0] && b[headV2-4]&^1 == 0x20 && b[headV2-3] == 0 {
		// A proxy that knows no address may say so without calling the connection its own: a receiver is free to accept
		// that (2.2), and the library does not.
		return Header{}, n, nil
	}
	read, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), n))
	if err != nil {
		return Header{}, 0, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var h Header
	source, destination, ok := read.TCPAddrs()
	if ok && read.Command == proxyproto.PROXY {
		h = Header{Source: plain(source), Destination: plain(destination)}
	}
	return h, n, nil
}

func plain(a *net.TCPAddr) netip.AddrPort {
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// Append appends a header of version V1 or V2 for a connection from source to destination. If one is IPv4 and the other
// IPv6, the former is written as IPv6 (::ffff:192.0.2.1); zones are left out. Without a valid address the header is
// UNKNOWN (version 1) or LOCAL.
func Append(b []byte, version string, source, destination netip.AddrPort) ([]byte, error) {
	number := byte(1)
	if version == V2 {
		number = 2
	} else if version != V1 {
		return b, fmt.Errorf("proxywire: no version %q", version)
	}
	h := &proxyproto.Header{Version: number, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	if source.IsValid() && destination.IsValid() {
		h = proxyproto.HeaderProxyFromAddrs(number, unzoned(source), unzoned(destination))
	}
	text, err := h.Format()
	if err != nil {
		return b, fmt.Errorf("proxywire: %w", err)
	}
	return append(b, text...), nil
}

func unzoned(a netip.AddrPort) *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()))
}
