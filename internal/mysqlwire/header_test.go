package mysqlwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestHeader(t *testing.T) {
	for _, test := range []struct {
		b    []byte
		want Header
		ok   bool
	}{
		{[]byte{0x4a, 0, 0, 0}, Header{Length: 74}, true},
		{[]byte{1, 2, 3, 255, 9}, Header{Length: 0x030201, Sequence: 255}, true},
		{[]byte{0xff, 0xff, 0xff, 1}, Header{Length: MaxPayload, Sequence: 1}, true},
		{[]byte{1, 0, 0}, Header{}, false},
		{nil, Header{}, false},
	} {
		got, ok := ParseHeader(test.b)
		if got != test.want || ok != test.ok {
			t.Errorf("ParseHeader(%x) = %+v, %t; want %+v, %t", test.b, got, ok, test.want, test.ok)
		}
		if ok && !bytes.Equal(AppendHeader(nil, got.Length, got.Sequence), test.b[:HeaderLen]) {
			t.Errorf("AppendHeader does not give %x back", test.b)
		}
	}
}

func TestAppendPacketSplits(t *testing.T) {
	for _, test := range []struct {
		size int
		want []int
	}{
		{0, []int{0}},
		{5, []int{5}},
		{MaxPayload - 1, []int{MaxPayload - 1}},
		{MaxPayload, []int{MaxPayload, 0}},
		{MaxPayload + 3, []int{MaxPayload, 3}},
	} {
		b, next := AppendPacket(nil, make([]byte, test.size), 254)
		r := bytes.NewReader(b)
		for i, want := range test.want {
			h, p, err := ReadPacket(r, nil, MaxPayload)
			if err != nil || h.Length != want || len(p) != want || h.Sequence != byte(254+i) {
				t.Fatalf("%d bytes: packet %d is %+v with %d bytes, %v; want %d bytes", test.size, i, h, len(p), err, want)
			}
		}
		if r.Len() != 0 || next != byte(254+len(test.want)) {
			t.Errorf("%d bytes: %d bytes left over, next number %d", test.size, r.Len(), next)
		}
	}
}

func TestReadPacketErrors(t *testing.T) {
	for _, test := range []struct {
		in    string
		limit int
		want  error
	}{
		{"", 10, io.EOF},
		{"\x01\x00", 10, io.ErrUnexpectedEOF},
		{"\x02\x00\x00\x00", 10, io.ErrUnexpectedEOF},
		{"\x02\x00\x00\x00a", 10, io.ErrUnexpectedEOF},
		{"\x0b\x00\x00\x00", 10, ErrTooLong},
	} {
		_, p, err := ReadPacket(strings.NewReader(test.in), make([]byte, 4), test.limit)
		if !errors.Is(err, test.want) || p != nil {
			t.Errorf("ReadPacket(%q): %q, %v; want %v", test.in, p, err, test.want)
		}
	}
}

func TestReadPacketUsesBuffer(t *testing.T) {
	buf := make([]byte, 0, 8)
	_, p, err := ReadPacket(strings.NewReader("\x03\x00\x00\x00abcdef"), buf, 10)
	if err != nil || string(p) != "abc" || &p[0] != &buf[:1][0] {
		t.Errorf("got %q, %v; want abc in the given buffer", p, err)
	}
}
