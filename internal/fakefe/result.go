package fakefe

import (
	"bytes"
	"math"

	"fairlead/internal/mysqlwire"
)

// value is one field of a row: pattern, times over. It is NULL when pattern is nil and times is 0.
type value struct {
	pattern []byte
	times   int
	number  bool // the column is one of integers
}

var null = value{}

func text(s string) value { return value{pattern: []byte(s), times: 1} }

func number(s string) value { return value{pattern: []byte(s), times: 1, number: true} }

func (v value) isNull() bool { return v.times == 0 && v.pattern == nil }

func (v value) size() int { return len(v.pattern) * v.times }

// string makes the whole value; values that may be large are written by the row instead.
func (v value) string() string { return string(bytes.Repeat(v.pattern, v.times)) }

// result is the rows that answer a statement.
type result struct {
	columns []mysqlwire.Column
	rows    [][]value
}

// textResult is a result whose columns are all text.
func textResult(columns ...string) *result {
	r := &result{}
	for _, name := range columns {
		r.columns = append(r.columns, mysqlwire.Column{Name: name})
	}
	return r
}

func (r *result) add(fields ...string) {
	row := make([]value, len(fields))
	for i, f := range fields {
		row[i] = text(f)
	}
	r.rows = append(r.rows, row)
}

// writeResult sends a whole result, in the text protocol or the binary one of prepared statements. In the latter all columns
// are sent as text, which spares the conversions.
func (s *session) writeResult(r *result, binary bool) error {
	if err := s.writePayload(mysqlwire.AppendLenenc(nil, uint64(len(r.columns)))); err != nil {
		return err
	}
	for _, c := range r.columns {
		if binary {
			c.Type, c.Length = mysqlwire.TypeVarString, 0
		}
		if c.Length == 0 {
			// Some clients take this for the size of the buffer they need.
			c.Length = math.MaxUint16
		}
		if err := s.writePayload(c.Append(nil)); err != nil {
			return err
		}
	}
	// DEPRECATE_EOF, which would leave this one out, is never announced.
	if err := s.writePayload(mysqlwire.AppendEOF(nil, 0, 0, s.caps)); err != nil {
		return err
	}
	for i, row := range r.rows {
		if err := s.writeRow(row, binary, i == len(r.rows)/2); err != nil {
			return err
		}
	}
	if len(r.rows) == 0 {
		if err := s.thawResult(); err != nil {
			return err
		}
	}
	return s.writePayload(mysqlwire.AppendEOF(nil, 0, 0, s.caps))
}

// writeRow sends one row; middle says that the result freezes here if it must.
func (s *session) writeRow(row []value, binary, middle bool) error {
	var head []byte
	if binary {
		head = binaryRowHead(row)
	}
	total := len(head)
	for _, v := range row {
		switch {
		case !v.isNull():
			total += mysqlwire.LenencSize(uint64(v.size())) + v.size()
		case !binary:
			total++
		}
	}
	w := chain{s: s, total: total, freezes: middle}
	if err := w.write(head); err != nil {
		return err
	}
	for _, v := range row {
		if err := w.writeValue(v, binary); err != nil {
			return err
		}
	}
	return w.finish()
}

// binaryRowHead is the marker 0x00 and the bitmap of NULLs, whose first two bits are unused
// (page_protocol_binary_resultset).
func binaryRowHead(row []value) []byte {
	head := make([]byte, 1+(len(row)+2+7)/8)
	for i, v := range row {
		if v.isNull() {
			head[1+(i+2)/8] |= 1 << ((i + 2) % 8)
		}
	}
	return head
}

// block is how much of a large value is made and written at once.
const block = 32 << 10

// chain writes one payload of known length as packets while it is made.
type chain struct {
	s       *session
	total   int
	written int
	room    int // bytes left in the packet whose header is out
	freezes bool
}

func (c *chain) writeValue(v value, binary bool) error {
	if v.isNull() {
		if binary {
			return nil
		}
		return c.write([]byte{mysqlwire.Null})
	}
	if err := c.write(mysqlwire.AppendLenenc(nil, uint64(v.size()))); err != nil {
		return err
	}
	if v.size() == 0 {
		return nil
	}
	perBlock := min(v.times, max(1, block/len(v.pattern)))
	piece := v.pattern
	if perBlock > 1 {
		piece = bytes.Repeat(v.pattern, perBlock)
	}
	for left := v.times; left > 0; left -= perBlock {
		n := min(left, perBlock)
		if err := c.write(piece[:n*len(v.pattern)]); err != nil {
			return err
		}
	}
	return nil
}

func (c *chain) write(p []byte) error {
	for len(p) > 0 {
		if c.room == 0 {
			if err := c.header(); err != nil {
				return err
			}
		}
		n, middle := min(len(p), c.room, block), c.total/2
		switch {
		case c.freezes && c.written >= middle:
			if err := c.s.thawResult(); err != nil {
				return err
			}
		case c.freezes:
			n = min(n, middle-c.written)
			fallthrough
		default:
			if err := c.s.thaw(); err != nil {
				return err
			}
		}
		if _, err := c.s.out.Write(p[:n]); err != nil {
			return err
		}
		p, c.room, c.written = p[n:], c.room-n, c.written+n
	}
	return nil
}

// header begins the next packet.
func (c *chain) header() error {
	c.room = min(c.total-c.written, mysqlwire.MaxPayload)
	_, err := c.s.out.Write(mysqlwire.AppendHeader(nil, c.room, c.s.seq))
	c.s.seq++
	return err
}

// finish ends the chain: after a full packet an empty one says that nothing follows.
func (c *chain) finish() error {
	if c.total%mysqlwire.MaxPayload != 0 {
		return nil
	}
	return c.header()
}

// writePayload queues a payload as one packet, or several.
func (s *session) writePayload(p []byte) error {
	var b []byte
	b, s.seq = mysqlwire.AppendPacket(nil, p, s.seq)
	_, err := s.out.Write(b)
	return err
}

func (s *session) writeOK() error {
	return s.writePayload(mysqlwire.OK{}.Append(nil, s.caps))
}

func (s *session) writeError(e *mysqlwire.ServerError) error {
	return s.writePayload(e.Append(nil, s.caps))
}
