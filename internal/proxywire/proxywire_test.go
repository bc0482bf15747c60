package proxywire

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func at(text string) netip.AddrPort {
	if text == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(text)
}

const sig = "\r\n\r\n\x00\r\nQUIT\n"

// TestParse: the bytes are those of the specification, not of Append.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		what, header, source, destination string
		err                               error
	}{
		{what: "v1, IPv4", header: "PROXY TCP4 192.0.2.1 198.51.100.2 56324 9030\r\n", source: "192.0.2.1:56324", destination: "198.51.100.2:9030"},
		{what: "v1, IPv6", header: "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", source: "[2001:db8::1]:1", destination: "[2001:db8::2]:65535"},
		{what: "v1, mapped", header: "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", source: "192.0.2.1:1", destination: "[2001:db8::2]:2"},
		{what: "v1, unknown", header: "PROXY UNKNOWN\r\n"},
		{what: "v1, unknown with addresses", header: "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"},
		{what: "v1, no CR", header: "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", err: ErrMalformed},
		{what: "v1, a name", header: "PROXY TCP4 host 198.51.100.2 1 2\r\n", err: ErrMalformed},
		{what: "v1, a port too large", header: "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", err: ErrMalformed},
		{what: "v1, another family", header: "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", err: ErrMalformed},
		{what: "v1, empty", header: "PROXY \r\n", err: ErrMalformed},
		{what: "v1, too long", header: "PROXY UNKNOWN " + strings.Repeat("x", 200) + "\r\n", err: ErrMalformed},
		{what: "v2, IPv4", header: sig + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46", source: "192.0.2.1:56324", destination: "198.51.100.2:9030"},
		{what: "v2, IPv6", header: sig + "\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
			"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\xff\xff", source: "[2001:db8::1]:1", destination: "[2001:db8::2]:65535"},
		{what: "v2, extensions", header: sig + "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46\x04\x00\x02ab", source: "192.0.2.1:56324", destination: "198.51.100.2:9030"},
		{what: "v2, local", header: sig + "\x20\x00\x00\x00"},
		{what: "v2, local with addresses", header: sig + "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46"},
		{what: "v2, unspecified", header: sig + "\x21\x00\x00\x00"},
		{what: "v2, unix", header: sig + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216)},
		{what: "v2, UDP", header: sig + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46"},
		{what: "v2, version 3", header: sig + "\x31\x11\x00\x00", err: ErrMalformed},
		{what: "v2, too short for its family", header: sig + "\x21\x11\x00\x04abcd", err: ErrMalformed},
		{what: "v2, huge", header: sig + "\x21\x11\xff\xff", err: ErrMalformed},
		{what: "MySQL", header: "\x20\x00\x00\x01", err: ErrNone},
		{what: "nearly", header: "PROXX", err: ErrNone},
	} {
		t.Run(c.what, func(t *testing.T) {
			h, n, err := Parse([]byte(c.header + "and more"))
			if !errors.Is(err, c.err) || c.err == nil && (n != len(c.header) || h.Source != at(c.source) || h.Destination != at(c.destination)) {
				t.Errorf("%+v, %d bytes, %v", h, n, err)
			}
			if c.err != nil {
				return
			}
			for i := range len(c.header) {
				if _, _, err := Parse([]byte(c.header[:i])); !errors.Is(err, ErrShort) {
					t.Errorf("of %d bytes: %v", i, err)
				}
			}
		})
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct{ version, source, destination, want string }{
		{V1, "192.0.2.1:56324", "198.51.100.2:9030", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 9030\r\n"},
		{V1, "[2001:db8::1]:1", "[2001:db8::2]:2", "PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n"},
		{V1, "[fe80::1%eth0]:1", "[fe80::2%eth0]:2", "PROXY TCP6 fe80::1 fe80::2 1 2\r\n"},
		{V1, "192.0.2.1:1", "[2001:db8::2]:2", "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"},
		{V1, "", "", "PROXY UNKNOWN\r\n"},
		{V2, "192.0.2.1:56324", "198.51.100.2:9030", sig + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46"},
		{V2, "[2001:db8::1]:1", "192.0.2.1:2", sig + "\x21\x21\x00\x24\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01\x00\x01\x00\x02"},
		{V2, "", "", sig + "\x20\x00\x00\x00"},
	} {
		got, err := Append([]byte("x"), c.version, at(c.source), at(c.destination))
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%s from %s to %s: %q, %v", c.version, c.source, c.destination, got, err)
		}
	}
	if _, err := Append(nil, "v3", at(""), at("")); err == nil {
		t.Error("there is no version 3")
	}
}

// FuzzProxyHeader: what is decided stays so whatever follows, nothing beyond the header is looked at, and what is written anew is
// read as the same.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{"PROXY TCP4 192.0.2.1 198.51.100.2 56324 9030\r\n", "PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n", "PROXY UNKNOWN\r\n",
		sig + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46", sig + "\x20\x00\x00\x00", sig + "\x21\x11\x00\x11\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46\x04\x00\x02ab"} {
		f.Add([]byte(seed), []byte("\x20\x00\x00\x01"))
	}
	f.Fuzz(func(t *testing.T, first, more []byte) {
		h, n, err := Parse(first)
		if errors.Is(err, ErrShort) {
			if len(first) >= Longest {
				t.Fatalf("not enough in %d bytes", len(first))
			}
			return
		}
		again, m, err2 := Parse(append(first[:len(first):len(first)], more...))
		if again != h || m != n || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Fatalf("%+v, %d, %v becomes %+v, %d, %v", h, n, err, again, m, err2)
		}
		if err != nil {
			return
		}
		if exact, m, err := Parse(first[:n]); exact != h || m != n || err != nil {
			t.Fatalf("its own bytes alone: %+v, %d, %v", exact, m, err)
		}
		for _, version := range []string{V1, V2} {
			written, err := Append(nil, version, h.Source, h.Destination)
			if err != nil {
				t.Fatalf("%+v: %v", h, err)
			}
			if read, _, err := Parse(written); err != nil || read != h {
				t.Fatalf("%+v written as %q is read as %+v, %v", h, written, read, err)
			}
		}
	})
}
