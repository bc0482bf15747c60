package mysqlwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error about bytes that are not the packet they should be.
var ErrMalformed = errors.New("mysqlwire: malformed packet")

// cursor walks over one payload. The first field that does not fit sets err; from then on every read
// returns zero values, so that a reader checks err once, at its end.
type cursor struct {
	packet string // name of the packet in errors
	b      []byte
	off    int
	err    error
}

func (c *cursor) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s: %s: %s (offset %d)", ErrMalformed, c.packet, field, fmt.Sprintf(format, args...), c.off)
	}
}

func (c *cursor) left() int {
	if c.err != nil {
		return 0
	}
	return len(c.b) - c.off
}

// take returns the next n bytes, or nil when they are not there. The slice aliases the payload.
func (c *cursor) take(n int, field string) []byte {
	if c.err != nil {
		return nil
	}
	if n < 0 || n > len(c.b)-c.off {
		c.fail(field, "%d bytes wanted, %d left", n, len(c.b)-c.off)
		return nil
	}
	p := c.b[c.off : c.off+n : c.off+n]
	c.off += n
	return p
}

func (c *cursor) uint8(field string) byte {
	if p := c.take(1, field); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) uint16(field string) uint16 {
	if p := c.take(2, field); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) uint24(field string) uint32 {
	if p := c.take(3, field); p != nil {
		return uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
	}
	return 0
}

func (c *cursor) uint32(field string) uint32 {
	if p := c.take(4, field); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// nul returns the bytes before the next NUL and steps over it; without a NUL the packet is malformed.
func (c *cursor) nul(field string) []byte {
	if c.err != nil {
		return nil
	}
	i := bytes.IndexByte(c.b[c.off:], 0)
	if i < 0 {
		c.fail(field, "no NUL in the %d bytes left", len(c.b)-c.off)
		return nil
	}
	p := c.b[c.off : c.off+i]
	c.off += i + 1
	return p
}

// nulOrRest is nul for fields whose NUL some peers leave out at the end of the packet.
func (c *cursor) nulOrRest() []byte {
	if c.err != nil {
		return nil
	}
	if bytes.IndexByte(c.b[c.off:], 0) < 0 {
		return c.rest()
	}
	return c.nul("")
}

func (c *cursor) rest() []byte {
	return c.take(c.left(), "")
}

func (c *cursor) lenenc(field string) uint64 {
	if c.err != nil {
		return 0
	}
	v, n, ok := ParseLenenc(c.b[c.off:])
	if !ok {
		c.fail(field, "no length-encoded integer in the %d bytes left", len(c.b)-c.off)
		return 0
	}
	c.off += n
	return v
}

// lenencBytes returns a string preceded by its length.
func (c *cursor) lenencBytes(field string) []byte {
	start := c.off
	n := c.lenenc(field)
	if c.err != nil {
		return nil
	}
	if left := uint64(len(c.b) - c.off); n > left {
		c.off = start
		c.fail(field, "says it has %d bytes, %d left", n, left)
		return nil
	}
	return c.take(int(n), field)
}

// pluginName makes a string of an authentication plugin's name, without allocating for the usual ones.
func pluginName(p []byte) string {
	switch string(p) {
	case NativePassword:
		return NativePassword
	case ClearPassword:
		return ClearPassword
	case CachingSHA2Password:
		return CachingSHA2Password
	}
	return string(p)
}

// again makes a string of p: the one that there was before, if it is the same.
func again(before string, p []byte) string {
	if before == string(p) {
		return before
	}
	return string(p)
}

// copyOrNil copies p to where before was; an empty p becomes nil, so that equal packets give equal values.
func copyOrNil(before, p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return append(before[:0], p...)
}
