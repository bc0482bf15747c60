//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"

	"fairlead/internal/mysqlwire"
)

// server is all backends: it listens on every address of this host, greets, says yes to each login and to each packet
// that follows. One goroutine for each connection; close waits for them.
type server struct {
	listener net.Listener
	port     uint16
	serving  sync.WaitGroup

	mu struct {
		sync.Mutex
		open map[net.Conn]bool // nil once closed
	}
}

const firstPort, lastPort, portTries = 10240, 32767, 100

// serve begins to listen.
func serve() (*server, error) {
	l, err := listenLow()
	if err != nil {
		return nil, err
	}
	s := &server{listener: l, port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	s.mu.open = map[net.Conn]bool{}
	s.serving.Go(s.accept)
	return s, nil
}

// listenLow listens on all addresses of this host, on a port that the kernel does not give to outgoing connections.
func listenLow() (net.Listener, error) {
	for try := 0; ; try++ {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort))
		l, err := net.Listen("tcp4", netip.AddrPortFrom(netip.IPv4Unspecified(), port).String())
		if err == nil || try == portTries {
			return l, err
		}
	}
}

func (s *server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.mu.open == nil {
			c.Close()
		} else {
			s.mu.open[c] = true
			s.serving.Go(func() { s.talk(c) })
		}
		s.mu.Unlock()
	}
}

func (s *server) talk(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.mu.open, c)
		s.mu.Unlock()
	}()
	if _, err := c.Write(greetingPacket); err != nil {
		return
	}
	buffer := make([]byte, mysqlwire.HeaderLen+len(loginPacket))
	for {
		h, err := readPacket(c, buffer)
		if err != nil {
			return
		}
		okPacket := packet(h.Sequence+1, mysqlwire.OK{}.Append(nil, mysqlwire.StarRocksCapabilities))
		if _, err := c.Write(okPacket); err != nil {
			return
		}
	}
}

func (s *server) close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.mu.open {
		c.Close()
	}
	s.mu.open = nil
	s.mu.Unlock()
	s.serving.Wait()
}

var (
	greetingPacket = packet(0, mysqlwire.Greeting{Version: "8.0.33", ConnectionID: 1, Scramble: bytes.Repeat([]byte{'s'}, 20),
		Capabilities: mysqlwire.StarRocksCapabilities, Charset: 33, AuthPlugin: mysqlwire.NativePassword}.Append(nil))
	loginPacket = packet(1, mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities &^ mysqlwire.ClientConnectAttrs,
		MaxPacket: mysqlwire.MaxPayload, Charset: 33, User: "scale", AuthResponse: bytes.Repeat([]byte{'r'}, 20),
		AuthPlugin: mysqlwire.NativePassword}.Append(nil))
	pingPacket = packet(0, []byte{0x0e}) // COM_PING
)

func packet(sequence byte, payload []byte) []byte {
	b, _ := mysqlwire.AppendPacket(nil, payload, sequence)
	return b
}

// readPacket reads a packet, which must fit into buffer.
func readPacket(c net.Conn, buffer []byte) (mysqlwire.Header, error) {
	if _, err := io.ReadFull(c, buffer[:mysqlwire.HeaderLen]); err != nil {
		return mysqlwire.Header{}, err
	}
	h, _ := mysqlwire.ParseHeader(buffer)
	if h.Length > len(buffer)-mysqlwire.HeaderLen {
		return h, fmt.Errorf("scale: a packet of %d bytes", h.Length)
	}
	_, err := io.ReadFull(c, buffer[mysqlwire.HeaderLen:mysqlwire.HeaderLen+h.Length])
	return h, err
}
