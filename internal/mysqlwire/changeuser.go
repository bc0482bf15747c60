package mysqlwire

import "encoding/binary"

// ParseChangeUser reads COM_CHANGE_USER, which begins a login anew on an open connection, from its payload
// (page_protocol_com_change_user):
//
//	offset  bytes
//	0       1     0x11
//	1       …     user and NUL
//	              authentication response: one byte of length and the bytes with SECURE_CONNECTION, else bytes and NUL
//	              database and NUL
//	              charset, 2 bytes
//	              name of the authentication plugin and NUL, with PLUGIN_AUTH
//	              attributes, with CONNECT_ATTRS, as in the login
//
// caps are the flags of the connection's login. The packet may end after the database or any later field.
// Errors wrap ErrMalformed. Of the charset the lower byte is kept.
func ParseChangeUser(payload []byte, caps Capability) (Login, error) {
	c := cursor{packet: "COM_CHANGE_USER", b: payload}
	if c.uint8("command") != ComChangeUser && c.err == nil {
		c.off = 0
		c.fail("command", "0x%02x, not 0x11", payload[0])
	}
	l := Login{Capabilities: caps}
	l.User = string(c.nul("user"))
	l.AuthResponse = copyOrNil(nil, c.authResponse(caps&^ClientPluginAuthLenenc))
	l.Database = string(c.nulOrRest())
	if c.left() > 0 {
		l.Charset = byte(c.uint16("charset"))
	}
	if caps.Has(ClientPluginAuth) {
		l.AuthPlugin = pluginName(c.nulOrRest())
	}
	if caps.Has(ClientConnectAttrs) && c.left() > 0 {
		l.Attributes = c.attributes(nil)
	}
	if c.err != nil {
		return Login{}, c.err
	}
	return l, nil
}

// AppendChangeUser appends the payload of COM_CHANGE_USER, with the fields that l.Capabilities ask for.
// An AuthResponse longer than 255 bytes is cut.
func (l Login) AppendChangeUser(b []byte) []byte {
	b = append(b, ComChangeUser)
	b = appendNul(b, l.User)
	if l.Capabilities.Has(ClientSecureConnection) {
		n := min(len(l.AuthResponse), 255)
		b = append(append(b, byte(n)), l.AuthResponse[:n]...)
	} else {
		b = append(append(b, l.AuthResponse...), 0)
	}
	b = appendNul(b, l.Database)
	b = binary.LittleEndian.AppendUint16(b, uint16(l.Charset))
	if l.Capabilities.Has(ClientPluginAuth) {
		b = appendNul(b, l.AuthPlugin)
	}
	if l.Capabilities.Has(ClientConnectAttrs) {
		b = appendAttributes(b, l.Attributes)
	}
	return b
}
