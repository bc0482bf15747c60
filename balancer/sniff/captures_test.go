package sniff

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead/internal/mysqlwire"
)

// hello is what crypto/tls sends first.
func hello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	config.InsecureSkipVerify = true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tls.Client(near, config).Handshake() // fails once the other end is closed
	}()
	b := make([]byte, Most)
	n, err := far.Read(b)
	far.Close()
	<-ended
	near.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// split puts the payload of one record into records of so many bytes.
func split(record []byte, size int) []byte {
	var b []byte
	for payload := record[recordHead:]; len(payload) > 0; {
		n := min(size, len(payload))
		b = append(append(b, record[:3]...), byte(n>>8), byte(n))
		b = append(b, payload[:n]...)
		payload = payload[n:]
	}
	return b
}

// loginOf is a login as a client sends it, header included.
func loginOf(l mysqlwire.Login) []byte {
	b, _ := mysqlwire.AppendPacket(nil, l.Append(nil), 1)
	return b
}

var (
	someLogin = loginOf(mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities, MaxPacket: 1 << 24, Charset: 45, User: "root",
		AuthResponse: []byte("12345678901234567890"), AuthPlugin: mysqlwire.NativePassword})
	sslRequest = loginOf(mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities | mysqlwire.ClientSSL, MaxPacket: 1 << 24, Charset: 45, SSLRequest: true})
	// oldLogin is HandshakeResponse320: root, no password.
	oldLogin = []byte("\x0b\x00\x00\x01\x05\x24\x00\x00\x00root\x00\x00")
)

const (
	curlRequest   = "GET /api/health HTTP/1.1\r\nHost: FE.example:9030\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n"
	streamLoad    = "PUT /api/db/t/_stream_load HTTP/1.1\r\nAuthorization: Basic cm9vdDo=\r\nexpect: 100-continue\r\nhost:\t[2001:db8::1]:8030 \r\n\r\n"
	psqlSSL       = "\x00\x00\x00\x08\x04\xd2\x16\x2f"
	sshClient     = "SSH-2.0-OpenSSH_9.2\r\n"
	proxyOfV1     = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 9030\r\n"
	proxyOfV2     = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x23\x46"
	grpcPreface   = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00"
	toProxy       = "GET http://Two.example:80/x HTTP/1.1\r\nHost: other\r\n\r\n"
	withoutHost   = "GET / HTTP/1.0\r\n\r\nHost: in.the.body\r\n"
	bareLineFeeds = "GET / HTTP/1.1\nAccept: */*\nHost: one.example.\n\n"
)

// captures are what real clients send first.
func captures(t testing.TB) map[string][]byte {
	single := hello(t, &tls.Config{ServerName: "Sql.FE.example", NextProtos: []string{"h2", "http/1.1"}})
	return map[string][]byte{
		"tls":           single,
		"tls, no name":  hello(t, &tls.Config{}),
		"tls 1.2":       hello(t, &tls.Config{ServerName: "old.example", MaxVersion: tls.VersionTLS12}),
		"tls in pieces": split(single, 7),
		"curl":          []byte(curlRequest), "stream load": []byte(streamLoad), "gRPC": []byte(grpcPreface), "to a proxy": []byte(toProxy),
		"HTTP/1.0": []byte(withoutHost), "line feeds": []byte(bareLineFeeds),
		"login": someLogin, "SSLRequest": sslRequest, "old login": oldLogin,
		"psql": []byte(psqlSSL), "ssh": []byte(sshClient), "PROXY v1": []byte(proxyOfV1), "PROXY v2": []byte(proxyOfV2),
	}
}

// recorded are the first bytes that real programs have sent, by protocol and program: "tls-curl".
func recorded(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for prefix, pattern := range map[string]string{"": "testdata/captures/*.bin", "mysql-": "../../internal/mysqlwire/testdata/logins/*.bin"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no captures at %s: %v", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[prefix+strings.TrimSuffix(filepath.Base(file), ".bin")] = b
		}
	}
	return all
}

// claim is a ClientHello's beginning that claims so many bytes.
func claim(record, message int) []byte {
	b := []byte{typeHandshake, 3, 1, 0, 0, clientHello, byte(message >> 16), byte(message >> 8), byte(message)}
	binary.BigEndian.PutUint16(b[3:], uint16(record))
	return b
}
