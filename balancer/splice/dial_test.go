package splice

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
)

func TestDialRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		nobody := listenTCP(t)
		nobody.Close()
		_, done := setUp(t, e, func(task Task) {
			_, err := task.Dial(addressOf(nobody), netip.Addr{}, late())
			want(t, "dial", err, syscall.ECONNREFUSED)
		})
		await(t, "the set-up's return", done)
	})
}

// A session whose first server won't do goes to another one, and leaves nothing behind at the first.
func TestRedispatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for _, leave := range []struct {
			name string
			by   func(Conn)
			sees func(*testing.T, *net.TCPConn)
		}{
			{"close", Conn.Close, wantEOF},
			{"abort", Conn.Abort, wantReset},
			{"forget", func(Conn) {}, wantEOF},
		} {
			t.Run(leave.name, func(t *testing.T) {
				backends := [2]*net.TCPListener{listenTCP(t), listenTCP(t)}
				r := newRecord()
				client, _ := setUp(t, e, func(task Task) {
					first, err := task.Dial(addressOf(backends[0]), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					leave.by(first)
					leave.by(first) // once more is no harm
					second, err := task.Dial(addressOf(backends[1]), netip.Addr{}, late())
					if err != nil {
						t.Errorf("second dial: %v", err)
						return
					}
					task.Join(Joint{Server: second, Owner: r})
				})
				leave.sees(t, acceptTCP(t, backends[0]))
				server := acceptTCP(t, backends[1])
				mustWrite(t, client, "hello")
				mustRead(t, server, "hello")
				client.Close()
				server.Close()
				r.wait(t)
			})
		}
	})
}

func TestAddresses(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend := listenTCP(t)
		type addresses struct{ remote, local, serverRemote, serverLocal netip.AddrPort }
		seen := make(chan addresses, 1)
		client, _ := setUp(t, e, func(task Task) {
			// as resolvers give IPv4 addresses
			mapped := netip.AddrPortFrom(netip.AddrFrom16(addressOf(backend).Addr().As16()), addressOf(backend).Port())
			server, err := task.Dial(mapped, netip.Addr{}, late())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			seen <- addresses{task.Client().Remote(), task.Client().Local(), server.Remote(), server.Local()}
		})
		server := acceptTCP(t, backend)
		address := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
		expected := addresses{address(client.LocalAddr()), address(client.RemoteAddr()),
			address(server.LocalAddr()), address(server.RemoteAddr())}
		if got := await(t, "the addresses", seen); got != expected {
			t.Errorf("got %v, want %v", got, expected)
		}
	})
}

// listenLow listens on a port that no connect chooses for its own end.
func listenLow(t *testing.T) *net.TCPListener {
	t.Helper()
	for port := 10240; port < 32768; port++ {
		if l, err := net.Listen("tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()); err == nil {
			t.Cleanup(func() { l.Close() })
			return l.(*net.TCPListener)
		}
	}
	t.Fatal("no port is free")
	return nil
}

// A server that speaks first is heard, refuses or is silent, whether or not the engine has waited for the connect.
func TestDialSpeaker(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		for name, listen := range map[string]func(*testing.T) *net.TCPListener{
			"low port": listenLow, "high port": func(t *testing.T) *net.TCPListener { return listenTCP(t) },
		} {
			t.Run(name, func(t *testing.T) {
				backend := listen(t)
				r := newRecord()
				client, _ := setUp(t, e, func(task Task) {
					server, err := task.DialSpeaker(addressOf(backend), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					b := make([]byte, 8)
					n, err := server.Read(b, late())
					if err != nil || string(b[:n]) != "greeting"[:n] {
						t.Errorf("read %q, %v", b[:n], err)
					}
					if took, ok := server.Connected(); !ok || took <= 0 || took > hang {
						t.Errorf("connected: %v, %v", took, ok)
					}
					task.Join(Joint{Server: server, Owner: r})
				})
				server := acceptTCP(t, backend)
				mustWrite(t, server, "greeting")
				flood := make([]byte, 32<<20) // more than the sockets hold: the engine has to wait for room
				var writing sync.WaitGroup
				defer writing.Wait()
				writing.Go(func() { client.Write(flood) })
				if n, err := io.ReadFull(server, make([]byte, len(flood))); err != nil {
					t.Errorf("%d bytes of the flood, %v", n, err)
				}
				client.Close()
				server.Close()
				r.wait(t)
			})
			t.Run(name+", refused", func(t *testing.T) {
				backend := listen(t)
				backend.Close()
				_, done := setUp(t, e, func(task Task) {
					server, err := task.DialSpeaker(addressOf(backend), netip.Addr{}, late())
					if err == nil {
						_, err = server.Read(make([]byte, 1), late())
						if took, ok := server.Connected(); ok {
							t.Errorf("connected within %v", took)
						}
					}
					want(t, "dial and read", err, syscall.ECONNREFUSED)
				})
				await(t, "the set-up's return", done)
			})
			t.Run(name+", silent", func(t *testing.T) {
				backend := listen(t)
				_, done := setUp(t, e, func(task Task) {
					server, err := task.DialSpeaker(addressOf(backend), netip.Addr{}, late())
					if err != nil {
						t.Errorf("dial: %v", err)
						return
					}
					_, err = server.Read(make([]byte, 1), soon())
					want(t, "read", err, ErrTimeout)
					if _, ok := server.Connected(); !ok {
						t.Error("not connected")
					}
				})
				await(t, "the set-up's return", done)
			})
		}
	})
}
