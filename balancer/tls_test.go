package balancer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// certificate is one that nobody has signed.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

const tlsCapabilities = mysqlwire.StarRocksCapabilities | mysqlwire.ClientSSL

// tlsServer greets, takes an SSLRequest and the login over TLS, and answers each word after that.
func tlsServer(t *testing.T) (address string) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	return backendOf(t, func(c *net.TCPConn) {
		io.WriteString(c, greetingPacket(tlsCapabilities, mysqlwire.NativePassword))
		if h, _, err := mysqlwire.ReadPacket(c, nil, 32); err != nil || h.Sequence != 1 {
			return // the client stalled
		}
		secret := tls.Server(c, config)
		_, payload, err := mysqlwire.ReadPacket(secret, nil, longestLogin)
		if err != nil {
			return
		}
		if l, err := mysqlwire.ParseLogin(payload); err != nil || l.User != "ann" {
			t.Errorf("the login over TLS is %+v, %v", l, err)
		}
		io.WriteString(secret, packetOf(3, ok))
		io.Copy(secret, secret)
	})
}

// sslRequest is a client's first packet, header included.
func sslRequest() string {
	l := mysqlwire.Login{Capabilities: tlsCapabilities, SSLRequest: true}
	return packetOf(1, string(l.Append(nil)))
}

// pressed is a connection whose first write takes the words along that were to come before it.
type pressed struct {
	net.Conn
	before string
}

func (p *pressed) Write(b []byte) (int, error) {
	n := len(p.before)
	if n == 0 {
		return p.Conn.Write(b)
	}
	all := append([]byte(p.before), b...)
	p.before = ""
	written, err := p.Conn.Write(all)
	return max(0, written-n), err
}

// enterTLS logs in over TLS of that version; together sends the SSLRequest and the hello in one piece.
func (r *balancerRig) enterTLS(version uint16, together bool) *tls.Conn {
	r.t.Helper()
	c := r.dial()
	c.greet()
	under := &pressed{Conn: c}
	if together {
		under.before = sslRequest()
	} else {
		c.send(sslRequest())
	}
	secret := tls.Client(under, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	l := mysqlwire.Login{Capabilities: tlsCapabilities, User: "ann", AuthPlugin: mysqlwire.NativePassword}
	if _, err := io.WriteString(secret, packetOf(2, string(l.Append(nil)))); err != nil {
		r.t.Fatal(err)
	}
	expect(r.t, secret, packetOf(3, ok))
	return secret
}

// TestTLS: logins over TLS pass, and outlive login_timeout, idle as they are; who stalls in the handshake does not.
func TestTLS(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, func(c *Config, _ *Options) { c.Listeners[0].LoginTimeout = 2 * time.Second }, tlsServer(t))
		in := map[string]*tls.Conn{
			"TLS 1.2":              r.enterTLS(tls.VersionTLS12, false),
			"TLS 1.3":              r.enterTLS(tls.VersionTLS13, false),
			"TLS 1.2 in one piece": r.enterTLS(tls.VersionTLS12, true),
			"TLS 1.3 in one piece": r.enterTLS(tls.VersionTLS13, true),
		}

		// These come later, so that when they are cut, the time of those above is over as well.
		silent, stalled := r.dial(), r.dial()
		silent.greet()
		stalled.greet()
		silent.send(sslRequest())
		stalled.send(sslRequest())
		half := &halfHello{Conn: stalled}
		tls.Client(half, &tls.Config{InsecureSkipVerify: true}).Handshake()
		silent.wantGone()
		stalled.wantGone()
		for range 2 {
			if s := r.wantReject("login_timeout"); s.User != "" || s.Backend == "" || s.ConnectionID != 42 {
				t.Errorf("the record of one that stalled: %+v", s)
			}
		}

		for name, c := range in {
			io.WriteString(c, "question")
			expect(t, c, "question")
			if err := c.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			// The end of TLS comes first, to which the server closes as well.
			if s := r.record(); !strings.HasSuffix(s.End, "_closed") || s.User != "" {
				t.Errorf("%s: the record is %+v", name, s)
			}
		}
	})
}

// halfHello is a connection through which only a part of what is written passes.
type halfHello struct{ net.Conn }

func (h *halfHello) Write(b []byte) (int, error) {
	h.Conn.Write(b[:len(b)/2])
	return 0, io.ErrShortWrite
}

func TestTLSWithoutALoginTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		r := serve(t, kind, func(c *Config, _ *Options) { c.Listeners[0].LoginTimeout = 0 }, tlsServer(t))
		c := r.enterTLS(tls.VersionTLS13, false)
		io.WriteString(c, "question")
		expect(t, c, "question")
		c.Close()
		if s := r.record(); !strings.HasSuffix(s.End, "_closed") {
			t.Errorf("the record is %+v", s)
		}
	})
}
