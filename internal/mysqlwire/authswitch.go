package mysqlwire

// AuthSwitch is a server's AuthSwitchRequest: log in with this plugin instead
// (page_protocol_connection_phase_packets_protocol_auth_switch_request; MysqlHandshakePacket.java,
// buildAuthSwitchRequest). The client answers with a packet that holds the plugin's response and nothing else. Its
// payload is:
//
//	offset  bytes
//	0       1     0xfe
//	1       p+1   name of the plugin and NUL
//	p+2     …     the plugin's data up to the end: a scramble of 20 bytes and NUL
//
// The old form has the first byte alone and means mysql_old_password with the greeting's scramble.
type AuthSwitch struct {
	Plugin string
	// Data is without the NUL at its end; nil when empty.
	Data []byte
}

// ParseAuthSwitch reads an AuthSwitchRequest from its payload. Errors wrap ErrMalformed.
func ParseAuthSwitch(payload []byte) (AuthSwitch, error) {
	c := cursor{packet: "AuthSwitchRequest", b: payload}
	if c.uint8("marker") != eofMarker && c.err == nil {
		c.off = 0
		c.fail("marker", "0x%02x, not 0xfe", payload[0])
	}
	if c.err == nil && c.left() == 0 {
		return AuthSwitch{Plugin: oldPassword}, nil
	}
	plugin, data := c.nul("name of the plugin"), c.rest()
	if c.err != nil {
		return AuthSwitch{}, c.err
	}
	if n := len(data); n > 0 && data[n-1] == 0 {
		data = data[:n-1]
	}
	return AuthSwitch{Plugin: pluginName(plugin), Data: copyOrNil(nil, data)}, nil
}

// Append appends the payload, with a NUL after Data.
func (s AuthSwitch) Append(b []byte) []byte {
	b = append(b, eofMarker)
	b = appendNul(b, s.Plugin)
	b = append(b, s.Data...)
	return append(b, 0)
}
