package mysqlwire

import (
	"encoding/binary"
	"strconv"
)

// errMarker begins an ERR packet.
const errMarker = 0xff

// stateLen is the length of an SQLSTATE.
const stateLen = 5

// ServerError is an ERR packet (page_protocol_basic_err_packet), and an error of Go. Its payload is:
//
//	offset  bytes
//	0       1      0xff
//	1       2      error code, little-endian
//	3       6      '#' and the SQLSTATE, only with PROTOCOL_41
//	9 or 3  …      message, up to the end
type ServerError struct {
	// Code is the server's number, such as 1040 for too many connections.
	Code uint16
	// State is the SQLSTATE, five characters; empty when none was sent, as by many servers before the login.
	State string
	// Message is the server's text, as sent.
	Message string
}

// Error gives code, state and message in the manner of the MySQL client.
func (e *ServerError) Error() string {
	s := "server error " + strconv.Itoa(int(e.Code))
	if e.State != "" {
		s += " (" + e.State + ")"
	}
	return s + ": " + e.Message
}

// ParseError reads an ERR packet from its payload. Whether there is a state is told by the '#' alone,
// for before the login nobody has agreed on PROTOCOL_41. Errors wrap ErrMalformed.
func ParseError(payload []byte) (*ServerError, error) {
	c := cursor{packet: "ERR", b: payload}
	if c.uint8("marker") != errMarker && c.err == nil {
		c.off = 0
		c.fail("marker", "0x%02x, not 0xff", payload[0])
	}
	e := &ServerError{Code: c.uint16("error code")}
	if c.left() > stateLen && c.b[c.off] == '#' {
		c.take(1, "state")
		e.State = string(c.take(stateLen, "state"))
	}
	e.Message = string(c.rest())
	if c.err != nil {
		return nil, c.err
	}
	return e, nil
}

// Append appends the payload. The state is written only with PROTOCOL_41 in caps, as five characters: cut or
// filled up with zeros; an empty one as HY000, SQL's general error. Before the login, when caps is not
// known, servers write it all the same, and clients understand it.
func (e *ServerError) Append(b []byte, caps Capability) []byte {
	b = append(b, errMarker)
	b = binary.LittleEndian.AppendUint16(b, e.Code)
	if caps.Has(ClientProtocol41) {
		state := e.State
		if state == "" {
			state = "HY000"
		}
		b = append(b, '#')
		b = append(b, state[:min(len(state), stateLen)]...)
		for i := len(state); i < stateLen; i++ {
			b = append(b, '0')
		}
	}
	return append(b, e.Message...)
}
