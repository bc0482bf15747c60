package mysqlwire

import (
	"errors"
	"fmt"
	"io"
)

// HeaderLen is the size in bytes of the header before every payload.
const HeaderLen = 4

// MaxPayload is the longest payload of one packet in bytes. Data of this length or more goes on in the
// next packet; the last packet of such a chain is shorter than MaxPayload and may be empty
// (page_protocol_basic_packets).
const MaxPayload = 1<<24 - 1

// ErrTooLong means that a packet's header claims more than the reader was told to accept.
var ErrTooLong = errors.New("mysqlwire: packet too long")

// Header is what precedes every payload: its length in bytes (3 bytes, little-endian) and a sequence
// number that counts up from 0 at each command and wraps after 255 (page_protocol_basic_packets).
type Header struct {
	// Length is the size of the payload in bytes, 0 to MaxPayload.
	Length int
	// Sequence is 0 in the first packet of a connection (the greeting) and of each command.
	Sequence byte
}

// ParseHeader reads the header at the start of b. It reports false when b has fewer than 4 bytes.
func ParseHeader(b []byte) (Header, bool) {
	if len(b) < HeaderLen {
		return Header{}, false
	}
	return Header{
		Length:   int(b[0]) | int(b[1])<<8 | int(b[2])<<16,
		Sequence: b[3],
	}, true
}

// AppendHeader appends the 4 bytes of a header. Of length only the lower 24 bits are written.
func AppendHeader(b []byte, length int, seq byte) []byte {
	return append(b, byte(length), byte(length>>8), byte(length>>16), seq)
}

// AppendPacket appends payload as packets: one, or as many as it takes when it has MaxPayload bytes or more.
// The first gets the sequence number seq; the number after the last one is returned.
func AppendPacket(b, payload []byte, seq byte) ([]byte, byte) {
	for {
		n := min(len(payload), MaxPayload)
		b = AppendHeader(b, n, seq)
		b = append(b, payload[:n]...)
		payload = payload[n:]
		seq++
		if n < MaxPayload {
			return b, seq
		}
	}
}

// ReadPacket reads one packet, header and payload, from r and nothing beyond it. The payload is stored in buf
// if it fits, else in new memory. A payload longer than limit is not read: the error then wraps ErrTooLong and the
// header is returned. The end of the stream before the first byte is io.EOF, a later one io.ErrUnexpectedEOF.
// It does not join chains of packets of MaxPayload bytes.
func ReadPacket(r io.Reader, buf []byte, limit int) (Header, []byte, error) {
	var raw [HeaderLen]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return Header{}, nil, err
	}
	h, _ := ParseHeader(raw[:])
	if h.Length > limit {
		return h, nil, fmt.Errorf("%w: %d bytes, at most %d accepted", ErrTooLong, h.Length, limit)
	}
	if h.Length > cap(buf) {
		buf = make([]byte, h.Length)
	}
	buf = buf[:h.Length]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return h, nil, err
	}
	return h, buf, nil
}
