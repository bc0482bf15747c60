package balancer

import (
	"testing"

	"fairlead/internal/mysqlwire"
)

// split cuts b into pieces at the places that cuts tells.
func split(b, cuts []byte) (pieces [][]byte) {
	for _, c := range cuts {
		n := min(int(c), len(b))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return append(pieces, b)
}

// firstVerdict reads packets the simple way: it returns where the verdict's first byte is, and -1 when there is none.
func firstVerdict(b []byte) int {
	for off := 0; ; {
		h, ok := mysqlwire.ParseHeader(b[min(off, len(b)):])
		off += mysqlwire.HeaderLen
		if !ok || h.Length > 0 && off >= len(b) {
			return -1
		}
		if h.Length > 0 && (b[off] == okPacket || b[off] == errPacket) {
			return off
		}
		off += h.Length
	}
}

func FuzzPacketScanner(f *testing.F) {
	f.Add([]byte(packetOf(2, ok)), []byte{1, 2, 3})
	f.Add([]byte(packetOf(2, "\x01\x03")+packetOf(3, ok)), []byte{5, 1})
	f.Add([]byte(packetOf(2, "")+packetOf(3, "\xfenative\x00scramble")+packetOf(5, "\xff\x15\x04#28000no")), []byte{4, 4, 1, 0, 1})
	f.Add([]byte("\xff\xff\xff\x00\x01"), []byte{})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		want := firstVerdict(stream)
		var p packetScanner
		seen := 0
		for _, piece := range split(stream, cuts) {
			if p.scan(piece) {
				if want < seen || want >= seen+len(piece) {
					t.Fatalf("a verdict between %d and %d of %q, want it at %d", seen, seen+len(piece), stream, want)
				}
				h, _ := mysqlwire.ParseHeader(stream[want-mysqlwire.HeaderLen:])
				if whole := want+h.Length == seen+len(piece); p.verdict != stream[want] || p.whole != whole {
					t.Fatalf("the verdict is %#x, whole: %v; want %#x, %v", p.verdict, p.whole, stream[want], whole)
				}
				return
			}
			seen += len(piece)
		}
		if want >= 0 {
			t.Fatalf("no verdict in %q, want one at %d", stream, want)
		}
	})
}
