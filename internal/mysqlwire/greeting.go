package mysqlwire

import (
	"encoding/binary"
	"slices"
)

// protocolVersion is the only version of the greeting in use since MySQL 3.21.0.
const protocolVersion = 10

// scrambleHead and scrambleTail are the two parts in which a greeting carries the 20 random bytes.
const (
	scrambleHead = 8
	scrambleTail = 12
)

// Greeting is the first packet of a server, HandshakeV10 (page_protocol_connection_phase_packets_protocol_handshake_v10;
// MysqlHandshakePacket.java). With v the length of the version, its payload is:
//
//	offset   bytes
//	0        1      protocol version, 10
//	1        v+1    server version and NUL
//	v+2      4      connection id
//	v+6      8      first part of the scramble
//	v+14     1      0
//	v+15     2      lower capability flags
//	v+17     1      charset                        (absent from here on in very old servers)
//	v+18     2      status flags
//	v+20     2      upper capability flags
//	v+22     1      length of the scramble and its NUL: 21; 0 without PLUGIN_AUTH
//	v+23     10     reserved
//	v+33     13     second part of the scramble and NUL, with SECURE_CONNECTION; more if the length says so
//	v+46     …      name of the authentication plugin and NUL, with PLUGIN_AUTH
//
// Numbers are little-endian. A StarRocks FE's greeting with the version 8.0.33 has 78 bytes with its header.
type Greeting struct {
	// Protocol is 10; 0 is written as 10.
	Protocol byte
	// Version is the server's version as sent. MariaDB puts "5.5.5-" before it.
	Version string
	// ConnectionID is what KILL names. Newer FEs keep their own number in its top 8 bits.
	ConnectionID uint32
	// Scramble is what passwords are mixed with: 20 bytes, 8 from servers without SECURE_CONNECTION.
	Scramble     []byte
	Capabilities Capability
	// Charset is the lower byte of the server's collation, 33 for utf8 in StarRocks.
	Charset byte
	Status  uint16
	// Reserved is zero but for MariaDB, whose last four bytes hold its own flags.
	Reserved [10]byte
	// AuthPlugin is empty without PLUGIN_AUTH.
	AuthPlugin string
}

// ParseGreeting reads a greeting from its payload. When a server sends an ERR packet instead, as for too
// many connections, the error is a *ServerError; anything else that is no greeting gives an error that wraps
// ErrMalformed. Bytes after the plugin's name are ignored.
func ParseGreeting(payload []byte) (Greeting, error) {
	var g Greeting
	if err := g.Parse(payload); err != nil {
		return Greeting{}, err
	}
	return g, nil
}

// Parse is ParseGreeting in the memory of an earlier greeting, which it replaces: its Scramble is overwritten, and a text
// that is the same again is not made anew. After an error the greeting is of no use, but for another Parse.
func (g *Greeting) Parse(payload []byte) error {
	if len(payload) > 0 && payload[0] == errMarker {
		e, err := ParseError(payload)
		if err != nil {
			return err
		}
		return e
	}
	c, before := cursor{packet: "greeting", b: payload}, *g
	*g = Greeting{}
	g.Protocol = c.uint8("protocol version")
	if c.err == nil && g.Protocol != protocolVersion {
		c.off = 0
		c.fail("protocol version", "%d, not %d", g.Protocol, protocolVersion)
	}
	g.Version = again(before.Version, c.nul("server version"))
	g.ConnectionID = c.uint32("connection id")
	head := c.take(scrambleHead, "scramble, first part")
	c.take(1, "filler")
	g.Capabilities = Capability(c.uint16("lower capability flags"))
	var tail []byte
	if c.left() > 0 {
		tail = g.parseSecondHalf(&c)
	} else if g.Capabilities.Has(ClientSecureConnection) {
		c.fail("scramble, second part", "announced, but the packet ends")
	}
	g.Scramble = append(append(slices.Grow(before.Scramble[:0], len(head)+len(tail)), head...), tail...)
	return c.err
}

// parseSecondHalf reads what was added after MySQL 3.21 and returns the second part of the scramble.
func (g *Greeting) parseSecondHalf(c *cursor) []byte {
	g.Charset = c.uint8("charset")
	g.Status = c.uint16("status flags")
	g.Capabilities |= Capability(c.uint16("upper capability flags")) << 16
	n := int(c.uint8("length of the scramble"))
	copy(g.Reserved[:], c.take(len(g.Reserved), "reserved"))
	var tail []byte
	if g.Capabilities.Has(ClientSecureConnection) {
		tail = c.take(max(scrambleTail, min(max(scrambleTail+1, n-scrambleHead), c.left())), "scramble, second part")
		if len(tail) > scrambleTail {
			tail = tail[:len(tail)-1] // its NUL
		}
	}
	if g.Capabilities.Has(ClientPluginAuth) {
		// Some servers, such as MySQL 5.5.7 to 5.5.9, leave the NUL out (MySQL bug 59453).
		g.AuthPlugin = pluginName(c.nulOrRest())
	}
	return tail
}

// Append appends the payload, laid out as StarRocks does. A Scramble shorter than 20 bytes (8 without
// SECURE_CONNECTION) is filled up with NULs; one longer than 254 is cut.
func (g Greeting) Append(b []byte) []byte {
	protocol := g.Protocol
	if protocol == 0 {
		protocol = protocolVersion
	}
	secure, plugin := g.Capabilities.Has(ClientSecureConnection), g.Capabilities.Has(ClientPluginAuth)
	scramble := g.Scramble[:min(len(g.Scramble), 254)]
	b = append(b, protocol)
	b = append(b, g.Version...)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint32(b, g.ConnectionID)
	b = appendPadded(b, scramble[:min(len(scramble), scrambleHead)], scrambleHead)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(g.Capabilities))
	b = append(b, g.Charset)
	b = binary.LittleEndian.AppendUint16(b, g.Status)
	b = binary.LittleEndian.AppendUint16(b, uint16(g.Capabilities>>16))
	length := 0
	if plugin {
		length = scrambleHead + scrambleTail + 1
	}
	if secure && len(scramble) > scrambleHead+scrambleTail {
		length = len(scramble) + 1
	}
	b = append(b, byte(length))
	b = append(b, g.Reserved[:]...)
	if secure {
		b = appendPadded(b, scramble[min(len(scramble), scrambleHead):], scrambleTail)
		b = append(b, 0)
	}
	if plugin {
		b = append(b, g.AuthPlugin...)
		b = append(b, 0)
	}
	return b
}

// appendPadded appends p, and NULs until n bytes are appended.
func appendPadded(b, p []byte, n int) []byte {
	b = append(b, p...)
	for i := len(p); i < n; i++ {
		b = append(b, 0)
	}
	return b
}
