package splice

import (
	"net"
	"net/netip"
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
