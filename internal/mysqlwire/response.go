package mysqlwire

import "encoding/binary"

const (
	okMarker  = 0x00
	eofMarker = 0xfe
	// maxEOF is one more than the longest payload of an EOF packet: 0xfe also begins the length of a very long string,
	// and an OK packet under DEPRECATE_EOF.
	maxEOF = 9
)

// OK is the OK packet (page_protocol_basic_ok_packet). Its payload is:
//
//	offset  bytes
//	0       1     0x00; 0xfe when it ends a result under DEPRECATE_EOF
//	1       …     affected rows and last insert id, length-encoded integers
//	        4     status flags and number of warnings, with PROTOCOL_41 (status alone with TRANSACTIONS)
//	        …     info: up to the end; a length-encoded string with SESSION_TRACK, and after it, when
//	              the status says so, the changes of the session's state as another one
type OK struct {
	AffectedRows, LastInsertID uint64
	Status, Warnings           uint16
	Info                       string
	// StateChanges is not taken apart; nil when empty.
	StateChanges []byte
}

// ParseOK reads an OK packet from its payload; caps are the flags both sides have announced. Errors
// wrap ErrMalformed.
func ParseOK(payload []byte, caps Capability) (OK, error) {
	c := cursor{packet: "OK", b: payload}
	if m := c.uint8("marker"); m != okMarker && m != eofMarker && c.err == nil {
		c.off = 0
		c.fail("marker", "0x%02x, not 0x00 or 0xfe", m)
	}
	var ok OK
	ok.AffectedRows = c.lenenc("affected rows")
	ok.LastInsertID = c.lenenc("last insert id")
	switch {
	case caps.Has(ClientProtocol41):
		ok.Status = c.uint16("status flags")
		ok.Warnings = c.uint16("warnings")
	case caps.Has(ClientTransactions):
		ok.Status = c.uint16("status flags")
	}
	if !caps.Has(ClientSessionTrack) {
		ok.Info = string(c.rest())
	} else if c.left() > 0 {
		ok.Info = string(c.lenencBytes("info"))
		if ok.Status&StatusSessionStateChanged != 0 && c.left() > 0 {
			ok.StateChanges = copyOrNil(nil, c.lenencBytes("changes of state"))
		}
	}
	if c.err != nil {
		return OK{}, c.err
	}
	return ok, nil
}

// Append appends the payload, beginning with 0x00.
func (ok OK) Append(b []byte, caps Capability) []byte {
	return ok.append(append(b, okMarker), caps)
}

// AppendEnd appends the payload that ends a result: an EOF packet, or with DEPRECATE_EOF in caps an OK packet
// that begins with 0xfe (page_protocol_com_query_response_text_resultset).
func (ok OK) AppendEnd(b []byte, caps Capability) []byte {
	if caps.Has(ClientDeprecateEOF) {
		return ok.append(append(b, eofMarker), caps)
	}
	return AppendEOF(b, ok.Status, ok.Warnings, caps)
}

func (ok OK) append(b []byte, caps Capability) []byte {
	b = AppendLenenc(b, ok.AffectedRows)
	b = AppendLenenc(b, ok.LastInsertID)
	switch {
	case caps.Has(ClientProtocol41):
		b = binary.LittleEndian.AppendUint16(b, ok.Status)
		b = binary.LittleEndian.AppendUint16(b, ok.Warnings)
	case caps.Has(ClientTransactions):
		b = binary.LittleEndian.AppendUint16(b, ok.Status)
	}
	if !caps.Has(ClientSessionTrack) {
		return append(b, ok.Info...)
	}
	b = AppendLenencString(b, ok.Info)
	if ok.Status&StatusSessionStateChanged != 0 {
		b = AppendLenencString(b, ok.StateChanges)
	}
	return b
}

// IsEOF reports whether a payload is an EOF packet: it begins with 0xfe and has less than 9 bytes
// (page_protocol_basic_eof_packet).
func IsEOF(payload []byte) bool {
	return len(payload) > 0 && len(payload) < maxEOF && payload[0] == eofMarker
}

// AppendEOF appends the payload of an EOF packet: 0xfe, then with PROTOCOL_41 the number of warnings and the status
// flags, 2 bytes each.
func AppendEOF(b []byte, status, warnings uint16, caps Capability) []byte {
	b = append(b, eofMarker)
	if caps.Has(ClientProtocol41) {
		b = binary.LittleEndian.AppendUint16(b, warnings)
		b = binary.LittleEndian.AppendUint16(b, status)
	}
	return b
}
