package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// long ends a hang; nothing in a test waits for it to pass.
const long = 30 * time.Second

// serve accepts connections on a loopback port until the test ends, and waits for their handlers.
func serve(t testing.TB, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(long))
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		handlers.Wait()
	})
	return netip.MustParseAddrPort(listener.Addr().String())
}

// closedPort is a loopback port on which nothing listens.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// at is a target with these addresses.
func at(addresses ...netip.AddrPort) Target {
	return Target{Pool: "fe", Name: "fe1", Host: "127.0.0.1", Addresses: func() []netip.AddrPort { return addresses }}
}

var scramble = []byte("0123456789abcdefghij")

func starRocks() mysqlwire.Greeting {
	return mysqlwire.Greeting{Version: "8.0.33", ConnectionID: 0x01000007, Scramble: scramble,
		Capabilities: mysqlwire.StarRocksCapabilities, Charset: 33, AuthPlugin: mysqlwire.NativePassword}
}

func packet(payload []byte, sequence byte) []byte {
	b, _ := mysqlwire.AppendPacket(nil, payload, sequence)
	return b
}

func refusal(code uint16, state, message string) []byte {
	return (&mysqlwire.ServerError{Code: code, State: state, Message: message}).Append(nil, mysqlwire.ClientProtocol41)
}

// says is a server whose first packet is payload and which then waits for the client's end.
func says(payload []byte) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Write(packet(payload, 0))
		io.Copy(io.Discard, conn)
	}
}

// frontend is a server that can be logged in to.
type frontend struct {
	greeting mysqlwire.Greeting
	user     string
	password string
	tls      *tls.Config
	// answer writes the packets that answer a query, from sequence 1 on.
	answer func(query string) [][]byte
	// refuse, if not nil, answers every login.
	refuse []byte
	// queries takes each query.
	queries chan string
}

func newFrontend() *frontend {
	return &frontend{greeting: starRocks(), user: "probe", password: "secret", queries: make(chan string, 100)}
}

func (f *frontend) handle(conn net.Conn) {
	g := f.greeting
	if f.tls != nil {
		g.Capabilities |= mysqlwire.ClientSSL
	}
	conn.Write(packet(g.Append(nil), 0))
	h, payload, err := mysqlwire.ReadPacket(conn, nil, 1<<16)
	if err != nil {
		return
	}
	login, err := mysqlwire.ParseLogin(payload)
	if err == nil && login.SSLRequest && f.tls != nil {
		encrypted := tls.Server(conn, f.tls)
		defer encrypted.Close()
		conn = encrypted
		if h, payload, err = mysqlwire.ReadPacket(conn, nil, 1<<16); err == nil {
			login, err = mysqlwire.ParseLogin(payload)
		}
	}
	if err != nil {
		return
	}
	switch {
	case f.refuse != nil:
		conn.Write(packet(f.refuse, h.Sequence+1))
		return
	case login.User != f.user || !mysqlwire.CheckNative(login.AuthResponse, scramble, f.password):
		conn.Write(packet(refusal(1045, "28000", "Access denied for user '"+login.User+"'"), h.Sequence+1))
		return
	}
	conn.Write(packet(mysqlwire.OK{}.Append(nil, mysqlwire.ClientProtocol41), h.Sequence+1))
	f.serveQueries(conn)
}

func (f *frontend) serveQueries(conn net.Conn) {
	for {
		_, payload, err := mysqlwire.ReadPacket(conn, nil, 1<<16)
		if err != nil || len(payload) == 0 || payload[0] != mysqlwire.ComQuery {
			return
		}
		query := string(payload[1:])
		f.queries <- query
		var answer []byte
		for i, p := range f.answer(query) {
			answer = append(answer, packet(p, byte(i+1))...)
		}
		conn.Write(answer)
	}
}

// table makes the packets of a result.
func table(columns []string, rows ...[]string) func(string) [][]byte {
	return func(string) [][]byte {
		packets := [][]byte{{byte(len(columns))}}
		for _, name := range columns {
			packets = append(packets, mysqlwire.Column{Name: name}.Append(nil))
		}
		eof := mysqlwire.AppendEOF(nil, 0, 0, mysqlwire.ClientProtocol41)
		packets = append(packets, eof)
		for _, row := range rows {
			var values [][]byte
			for _, value := range row {
				if value == "\x00" { // NULL
					values = append(values, nil)
				} else {
					values = append(values, []byte(value))
				}
			}
			packets = append(packets, mysqlwire.AppendTextRow(nil, values))
		}
		return append(packets, eof)
	}
}

func one(value string) func(string) [][]byte { return table([]string{"1"}, []string{value}) }

// raw answers with these packets.
func raw(packets ...[]byte) func(string) [][]byte {
	return func(string) [][]byte { return packets }
}

// file writes a file of the test's own and returns its path.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a self-signed certificate for a host, and a file that holds it.
func certificate(t testing.TB, host string) (*tls.Config, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return config, file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}
