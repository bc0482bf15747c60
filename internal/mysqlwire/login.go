package mysqlwire

import "encoding/binary"

// Sizes of a login's fixed part: before the user's name, which is also the whole of an SSLRequest.
const (
	loginFixed    = 32
	oldLoginFixed = 5
)

// maxAttributes is the most that a server takes of connection attributes, in bytes (sql_authentication.cc,
// read_client_connect_attrs). Without a bound a packet of 16 MB would become 8 million empty pairs.
const maxAttributes = 1<<16 - 1

// Login is the client's answer to the greeting. Three packets have this place.
//
// HandshakeResponse41, with PROTOCOL_41 (page_protocol_connection_phase_packets_protocol_handshake_response):
//
//	offset  bytes
//	0       4     capability flags
//	4       4     longest packet the client takes
//	8       1     charset
//	9       23    reserved
//	32      …     user and NUL
//	              authentication response: with PLUGIN_AUTH_LENENC a length-encoded string, with
//	              SECURE_CONNECTION one byte of length and the bytes, else bytes and NUL
//	              database and NUL, with CONNECT_WITH_DB
//	              name of the authentication plugin and NUL, with PLUGIN_AUTH
//	              with CONNECT_ATTRS a length-encoded total in bytes, then pairs of length-encoded strings
//	              level of zstd, 1 byte, with ZSTD_COMPRESSION_ALGORITHM
//
// HandshakeResponse320, without PROTOCOL_41: flags (2 bytes), longest packet (3), user and NUL, authentication
// response and NUL, database and NUL with CONNECT_WITH_DB.
//
// SSLRequest, with CLIENT_SSL: the part before the user alone, 32 bytes (5 in the old form). TLS begins
// after it, and the login comes again inside (page_protocol_connection_phase_packets_protocol_ssl_request).
type Login struct {
	Capabilities Capability
	// MaxPacket is the longest packet in bytes that the client takes; 24 bits in the old form.
	MaxPacket uint32
	// Charset is the lower byte of the client's collation; not in the old form.
	Charset byte
	// Reserved is zero but for MariaDB clients, whose last four bytes hold MariaDB's own flags. Not in the old form.
	Reserved [23]byte
	// User holds no NUL.
	User string
	// AuthResponse is nil when empty, as for an empty password.
	AuthResponse []byte
	// Database is empty without CONNECT_WITH_DB.
	Database string
	// AuthPlugin is empty without PLUGIN_AUTH.
	AuthPlugin string
	// Attributes are what the client tells about itself, in its order.
	Attributes []Attribute
	// ZstdLevel is 0 without ZSTD_COMPRESSION_ALGORITHM.
	ZstdLevel byte
	// SSLRequest says that the client goes on with TLS: User and everything after it are empty. It goes with CLIENT_SSL.
	SSLRequest bool
}

// Attribute is one pair of a login's connection attributes, such as program_name.
type Attribute struct {
	Name, Value string
}

// ParseLogin reads a client's first packet from its payload. Errors wrap ErrMalformed. Like servers do, it takes
// a packet that ends after the authentication response, whatever its flags promise, and a database or
// plugin name whose NUL is missing at the packet's end; bytes after the last field are ignored.
func ParseLogin(payload []byte) (Login, error) {
	var l Login
	if err := l.Parse(payload); err != nil {
		return Login{}, err
	}
	return l, nil
}

// Parse is ParseLogin in the memory of an earlier login, which it replaces: its AuthResponse and Attributes are
// overwritten, and a text that is the same again is not made anew, as with a program's many connections. After an error
// the login is of no use, but for another Parse.
func (l *Login) Parse(payload []byte) error {
	c, before := cursor{packet: "login", b: payload}, *l
	*l = Login{}
	// The flag is in the lower half, which both forms begin with.
	if flags := Capability(c.uint16("capability flags")); !flags.Has(ClientProtocol41) {
		return l.parseOld(&c, &before, flags)
	}
	c.off = 0
	l.Capabilities = Capability(c.uint32("capability flags"))
	l.MaxPacket = c.uint32("longest packet")
	l.Charset = c.uint8("charset")
	copy(l.Reserved[:], c.take(len(l.Reserved), "reserved"))
	if len(payload) == loginFixed && l.Capabilities.Has(ClientSSL) {
		l.SSLRequest = true
		return nil
	}
	l.User = again(before.User, c.nul("user"))
	l.AuthResponse = copyOrNil(before.AuthResponse, c.authResponse(l.Capabilities))
	if l.Capabilities.Has(ClientConnectWithDB) {
		l.Database = again(before.Database, c.nulOrRest())
	}
	if l.Capabilities.Has(ClientPluginAuth) {
		l.AuthPlugin = pluginName(c.nulOrRest())
	}
	if l.Capabilities.Has(ClientConnectAttrs) && c.left() > 0 {
		l.Attributes = c.attributes(before.Attributes)
	}
	if l.Capabilities.Has(ClientZstdCompression) && c.left() > 0 {
		l.ZstdLevel = c.uint8("level of zstd")
	}
	return c.err
}

// parseOld reads a HandshakeResponse320 whose flags have been read.
func (l *Login) parseOld(c *cursor, before *Login, flags Capability) error {
	l.Capabilities = flags
	l.MaxPacket = c.uint24("longest packet")
	if c.err == nil && len(c.b) == oldLoginFixed && flags.Has(ClientSSL) {
		l.SSLRequest = true
		return nil
	}
	l.User = again(before.User, c.nul("user"))
	l.AuthResponse = copyOrNil(before.AuthResponse, c.nulOrRest())
	if flags.Has(ClientConnectWithDB) {
		l.Database = again(before.Database, c.nulOrRest())
	}
	return c.err
}

func (c *cursor) authResponse(caps Capability) []byte {
	const field = "authentication response"
	switch {
	case caps.Has(ClientPluginAuthLenenc):
		return c.lenencBytes(field)
	case caps.Has(ClientSecureConnection):
		return c.take(int(c.uint8(field)), field)
	}
	return c.nulOrRest()
}

// attributes reads the attributes into the memory of those before.
func (c *cursor) attributes(before []Attribute) []Attribute {
	start := c.off
	all := c.lenencBytes("attributes")
	if len(all) > maxAttributes {
		c.off = start
		c.fail("attributes", "%d bytes, at most %d accepted", len(all), maxAttributes)
	}
	if c.err != nil {
		return nil
	}
	list := cursor{packet: c.packet, b: c.b[:c.off], off: c.off - len(all)}
	attributes := before[:0]
	for list.left() > 0 {
		name := list.lenencBytes("name of an attribute")
		value := list.lenencBytes("value of an attribute")
		var old Attribute
		if n := len(attributes); n < len(before) {
			old = before[n]
		}
		attributes = append(attributes, Attribute{Name: again(old.Name, name), Value: again(old.Value, value)})
	}
	if c.err = list.err; c.err != nil || len(attributes) == 0 {
		return nil
	}
	return attributes
}

// Append appends the payload in the form that Capabilities and SSLRequest ask for. A NUL in User, Database or
// AuthPlugin ends the field for its reader; an AuthResponse longer than 255 bytes needs PLUGIN_AUTH_LENENC,
// otherwise it is cut.
func (l Login) Append(b []byte) []byte {
	if !l.Capabilities.Has(ClientProtocol41) {
		return l.appendOld(b)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(l.Capabilities))
	b = binary.LittleEndian.AppendUint32(b, l.MaxPacket)
	b = append(b, l.Charset)
	b = append(b, l.Reserved[:]...)
	if l.SSLRequest {
		return b
	}
	b = appendNul(b, l.User)
	switch {
	case l.Capabilities.Has(ClientPluginAuthLenenc):
		b = AppendLenencString(b, l.AuthResponse)
	case l.Capabilities.Has(ClientSecureConnection):
		n := min(len(l.AuthResponse), 255)
		b = append(append(b, byte(n)), l.AuthResponse[:n]...)
	default:
		b = append(append(b, l.AuthResponse...), 0)
	}
	if l.Capabilities.Has(ClientConnectWithDB) {
		b = appendNul(b, l.Database)
	}
	if l.Capabilities.Has(ClientPluginAuth) {
		b = appendNul(b, l.AuthPlugin)
	}
	if l.Capabilities.Has(ClientConnectAttrs) {
		b = appendAttributes(b, l.Attributes)
	}
	if l.Capabilities.Has(ClientZstdCompression) {
		b = append(b, l.ZstdLevel)
	}
	return b
}

func (l Login) appendOld(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(l.Capabilities))
	b = append(b, byte(l.MaxPacket), byte(l.MaxPacket>>8), byte(l.MaxPacket>>16))
	if l.SSLRequest {
		return b
	}
	b = appendNul(b, l.User)
	b = append(append(b, l.AuthResponse...), 0)
	if l.Capabilities.Has(ClientConnectWithDB) {
		b = appendNul(b, l.Database)
	}
	return b
}

func appendAttributes(b []byte, attributes []Attribute) []byte {
	total := 0
	for _, a := range attributes {
		total += LenencSize(uint64(len(a.Name))) + len(a.Name) + LenencSize(uint64(len(a.Value))) + len(a.Value)
	}
	b = AppendLenenc(b, uint64(total))
	for _, a := range attributes {
		b = AppendLenencString(b, a.Name)
		b = AppendLenencString(b, a.Value)
	}
	return b
}

func appendNul(b []byte, s string) []byte {
	return append(append(b, s...), 0)
}

// Program names the client's program: the attribute program_name, as command line clients send it, else
// _client_name with _client_version, as drivers do; empty when the client tells neither.
func (l Login) Program() string {
	var program, name, version string
	for _, a := range l.Attributes {
		switch a.Name {
		case "program_name":
			program = a.Value
		case "_client_name":
			name = a.Value
		case "_client_version":
			version = a.Value
		}
	}
	switch {
	case program != "":
		return program
	case name != "" && version != "":
		return name + " " + version
	}
	return name
}
