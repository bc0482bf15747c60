package idle

import (
	"encoding/binary"

	"fairlead/internal/mysqlwire"
)

// First bytes of packets.
const (
	okMarker     = 0x00
	infileMarker = 0xfb
	eofMarker    = 0xfe
	errMarker    = 0xff
)

// Status flags that mysqlwire has no use for (SERVER_STATUS_flags_enum).
const (
	statusCursorExists = 1 << 6
	statusLastRowSent  = 1 << 7
)

// longestEOF is the longest payload of an EOF packet.
const longestEOF = 8

// Server reads what the server has sent.
func (t *Tracker) Server(b []byte) {
	for len(b) > 0 && t.flags&(following|blind|lost) == following {
		if t.have[server] == 0 && t.left[server] > 0 {
			n := min(t.left[server], uint32(len(b)))
			t.left[server] -= n
			b = b[n:]
			continue
		}
		length, sequence, rest, ok := t.header(server, b)
		if !ok {
			return
		}
		n := min(length, uint32(len(rest)))
		t.serverPacket(rest[:n], length, sequence)
		t.left[server] = length - n
		b = rest[n:]
	}
	if t.is(lost) {
		t.left[server], t.have[server] = 0, 0
	}
}

// serverPacket reads the beginning of a packet.
func (t *Tracker) serverPacket(seen []byte, length uint32, sequence byte) {
	chained := t.is(serverChain)
	t.set(serverChain, length == mysqlwire.MaxPayload)
	if chained {
		return
	}
	k := kind(t.queue & kindMask)
	if t.waiting == 0 || length == 0 || !t.is(begun|anyStart) && sequence != 1 {
		t.lose() // nobody has asked for it
		return
	}
	t.set(begun, true)
	if seen[0] == errMarker && length < mysqlwire.MaxPayload {
		if len(seen) < 3 && length >= 3 {
			t.lose()
		} else if length < 3 || seen[1] != 0xff || seen[2] != 0xff { // else MariaDB's report of progress
			t.done()
		}
		return
	}
	switch k {
	case single:
		if seen[0] == okMarker || seen[0] == eofMarker {
			t.status(seen, length)
		}
		t.done()
	case reset, change:
		t.resetting(k, seen, length)
	case query:
		t.queryPacket(seen, length)
	case prepare:
		t.prepared(seen, length)
	case rows:
		if t.ending(seen, length) {
			t.status(seen, length)
			t.done()
		}
	}
}

// done ends the reply to the first command in the queue.
func (t *Tracker) done() {
	t.queue >>= kindBits
	t.waiting--
	t.set(begun|inResult|anyStart, false)
	t.packets, t.ends = 0, 0
}

// resetting is a packet of the reply to what makes the session as new.
func (t *Tracker) resetting(k kind, seen []byte, length uint32) {
	if seen[0] != okMarker {
		if k == reset {
			t.done()
		}
		return // asks for more of the login
	}
	t.set(inTransaction|manualText|manualStatus|open|cursor|longData|doubtful, false)
	t.status(seen, length)
	t.done()
}

// queryPacket is a packet of the reply to a statement.
func (t *Tracker) queryPacket(seen []byte, length uint32) {
	switch {
	case t.is(inResult):
		if !t.ending(seen, length) {
			return
		}
		status := t.status(seen, length)
		t.ends--
		if t.ends > 0 && status&statusCursorExists == 0 {
			return
		}
		t.set(inResult, false)
		if status&mysqlwire.StatusMoreResults == 0 {
			t.done()
		}
	case seen[0] == okMarker:
		if t.status(seen, length)&mysqlwire.StatusMoreResults == 0 {
			t.done()
		}
	case seen[0] == infileMarker:
		t.set(infile, true)
	default: // a number of columns
		t.set(inResult, true)
		t.ends = 2 // one after the columns, one after the rows
		if t.is(deprecateEOF) {
			t.ends = 1
		}
	}
}

// ending tells whether a packet ends columns or rows. No row begins like it: 0xfe is the length of a text of 16 MiB or more.
func (t *Tracker) ending(seen []byte, length uint32) bool {
	if t.is(deprecateEOF) {
		return seen[0] == eofMarker && length < mysqlwire.MaxPayload
	}
	return seen[0] == eofMarker && length <= longestEOF
}

// prepared is a packet of a prepared statement's description (page_protocol_com_stmt_prepare): how many columns and
// parameters it has, these, and an EOF after each kind.
func (t *Tracker) prepared(seen []byte, length uint32) {
	if t.is(inResult) {
		if !t.is(deprecateEOF) && t.ending(seen, length) {
			t.status(seen, length)
		}
		if t.packets--; t.packets == 0 {
			t.done()
		}
		return
	}
	if seen[0] != okMarker || len(seen) < 9 {
		t.lose()
		return
	}
	for _, n := range [...]uint16{binary.LittleEndian.Uint16(seen[5:]), binary.LittleEndian.Uint16(seen[7:])} {
		t.packets += uint32(n)
		if n > 0 && !t.is(deprecateEOF) {
			t.packets++
		}
	}
	t.set(inResult, true)
	if t.packets == 0 {
		t.done()
	}
}

// status reads the status flags of an OK or EOF packet, which must be there in whole.
func (t *Tracker) status(seen []byte, length uint32) uint16 {
	status, ok := statusOf(seen, length)
	if !ok {
		t.lose()
		return 0
	}
	t.set(inTransaction, status&mysqlwire.StatusInTransaction != 0)
	if status&mysqlwire.StatusAutocommit != 0 {
		t.set(tells, true)
	}
	t.set(manualStatus, t.is(tells) && status&mysqlwire.StatusAutocommit == 0)
	switch {
	case status&statusLastRowSent != 0:
		t.set(cursor, false)
	case status&statusCursorExists != 0:
		t.set(cursor, true)
	}
	return status
}

// lengthOfEOF is the length of an EOF packet's payload; an OK packet has 7 bytes at least.
const lengthOfEOF = 5

// statusOf finds them: behind the number of warnings in an EOF packet, behind two length-encoded integers in an OK.
func statusOf(seen []byte, length uint32) (uint16, bool) {
	if seen[0] == eofMarker && length == lengthOfEOF {
		if len(seen) < lengthOfEOF {
			return 0, false
		}
		return binary.LittleEndian.Uint16(seen[3:]), true
	}
	rest := seen[1:]
	for range 2 {
		_, n, ok := mysqlwire.ParseLenenc(rest)
		if !ok {
			return 0, false
		}
		rest = rest[n:]
	}
	if len(rest) < 2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(rest), true
}

// lose notes that a packet could not be read. Until the server says so, nobody knows that no transaction is open.
func (t *Tracker) lose() { t.set(lost|inTransaction, true) }
