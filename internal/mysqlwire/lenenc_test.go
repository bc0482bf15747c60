package mysqlwire

import (
	"bytes"
	"testing"
)

func TestLenenc(t *testing.T) {
	for _, test := range []struct {
		v uint64
		b string
	}{
		{0, "\x00"}, {250, "\xfa"}, {251, "\xfc\xfb\x00"}, {1<<16 - 1, "\xfc\xff\xff"}, {1 << 16, "\xfd\x00\x00\x01"},
		{1<<24 - 1, "\xfd\xff\xff\xff"}, {1 << 24, "\xfe\x00\x00\x00\x01\x00\x00\x00\x00"},
		{1<<64 - 1, "\xfe\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		if b := AppendLenenc(nil, test.v); string(b) != test.b || LenencSize(test.v) != len(b) {
			t.Errorf("%d: % x with size %d, want % x", test.v, b, LenencSize(test.v), test.b)
		}
		v, n, ok := ParseLenenc([]byte(test.b + "rest"))
		if v != test.v || n != len(test.b) || !ok {
			t.Errorf("% x: %d, %d, %t; want %d", test.b, v, n, ok, test.v)
		}
		for cut := range len(test.b) {
			if _, _, ok := ParseLenenc([]byte(test.b[:cut])); ok {
				t.Errorf("%d of the bytes % x are taken for an integer", cut, test.b)
			}
		}
	}
	for _, b := range []string{"\xfb", "\xffabcdefghi"} {
		if _, _, ok := ParseLenenc([]byte(b)); ok {
			t.Errorf("% x is taken for an integer", b)
		}
	}
}

func TestLenencString(t *testing.T) {
	for _, test := range []struct {
		b    string
		want string
		ok   bool
	}{
		{"\x00", "", true}, {"\x03abcd", "abc", true}, {"\xfc\x01\x00x", "x", true},
		{"\x03ab", "", false}, {"", "", false}, {"\xfb", "", false}, {"\xfe\xff\xff\xff\xff\xff\xff\xff\xffab", "", false},
	} {
		s, n, ok := ParseLenencString([]byte(test.b))
		if string(s) != test.want || ok != test.ok || n > len(test.b) {
			t.Errorf("% x: %q, %d, %t; want %q, %t", test.b, s, n, ok, test.want, test.ok)
		}
	}
}

func FuzzLenenc(f *testing.F) {
	for _, s := range []string{"", "\x05hello", "\xfb", "\xfc\xfb\x00", "\xfd\x01\x02\x03", "\xfe\x01\x00\x00\x00\x00\x00\x00\x00a", "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = exact(b)
		if v, n, ok := ParseLenenc(b); ok {
			again, m, ok := ParseLenenc(AppendLenenc(nil, v))
			if !ok || again != v || m > n || m != LenencSize(v) {
				t.Fatalf("% x is %d in %d bytes, written again %d in %d bytes", b[:n], v, n, again, m)
			}
		}
		if s, n, ok := ParseLenencString(b); ok {
			if n > len(b) || !bytes.HasSuffix(b[:n], s) {
				t.Fatalf("% x: string of %d bytes ends at %d", b, len(s), n)
			}
			again, _, ok := ParseLenencString(AppendLenencString(nil, s))
			if !ok || !bytes.Equal(again, s) {
				t.Fatalf("%q written again is %q", s, again)
			}
		}
	})
}
