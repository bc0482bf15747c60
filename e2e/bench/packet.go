//go:build linux

package main

import (
	"bytes"
	"encoding/binary"

	"fairlead/internal/mysqlwire"
)

// requestSize is the size of every request in bytes. The first eight say how long the answer shall be.
const requestSize = 100

// appendRequest appends a request for an answer of so many bytes.
func appendRequest(b []byte, answer int64) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(answer))
	return append(b, make([]byte, requestSize-8)...)
}

// answerSize reads what a request asks for.
func answerSize(request []byte) int64 { return int64(binary.LittleEndian.Uint64(request)) }

// The three packets of a session, with their headers. Their sizes are those of a StarRocks FE with version
// 8.0.33 and of a client with a short user and database name.
var (
	greetingPacket = packet(0, mysqlwire.Greeting{
		Version:      "8.0.33",
		ConnectionID: 1,
		Scramble:     bytes.Repeat([]byte{'s'}, 20),
		Capabilities: mysqlwire.StarRocksCapabilities,
		Charset:      33,
		AuthPlugin:   mysqlwire.NativePassword,
	}.Append(nil))
	loginPacket = packet(1, mysqlwire.Login{
		Capabilities: mysqlwire.StarRocksCapabilities &^ mysqlwire.ClientConnectAttrs,
		MaxPacket:    mysqlwire.MaxPayload,
		Charset:      33,
		User:         "bench",
		AuthResponse: bytes.Repeat([]byte{'r'}, 20),
		Database:     "fairlead_bench",
		AuthPlugin:   mysqlwire.NativePassword,
	}.Append(nil))
	okPacket = packet(2, mysqlwire.OK{}.Append(nil, mysqlwire.StarRocksCapabilities))
)

func packet(sequence byte, payload []byte) []byte {
	b, _ := mysqlwire.AppendPacket(nil, payload, sequence)
	return b
}
