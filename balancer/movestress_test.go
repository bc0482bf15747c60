package balancer

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
)

// TestManyMovedLogins: logins of two pools, mixed, with few places, good passwords and wrong ones; each gets to its own
// servers or hears why not, and the books are in order at the end.
func TestManyMovedLogins(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		n := 0
		_, addresses := startFEs(t, 4, func(c *fakefe.Config) {
			if n++; n > 2 {
				c.Users = map[string]string{"ann": "secret"}
			}
		})
		r := serveRoutes(t, kind, func(c *Config) {
			c.Pools[0].MaxSessions, c.Pools[1].MaxSessions = 3, 2
			c.Pools[0].Queue, c.Pools[1].Queue = 100, 100
			c.Listeners[0].MaxSessionsPerUser = 100
		}, annToETL, addresses[:2], addresses[2:])
		const clients, logins = 12, 20
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				for k := range logins {
					config := &mysql.Config{User: "root", Net: "tcp", Addr: r.address(), AllowNativePasswords: true, Logger: &mysql.NopLogger{}, Timeout: hang}
					want := "fe1 fe2"
					if i%2 == 0 {
						config.User, config.Passwd, want = "ann", "secret", "fe3 fe4"
					}
					if k%5 == 4 {
						config.Passwd, want = "wrong", ""
					}
					connector, err := mysql.NewConnector(config)
					if err != nil {
						t.Error(err)
						return
					}
					c, err := connector.Connect(t.Context())
					if err != nil {
						if want != "" || !strings.Contains(err.Error(), "Access denied for user '"+config.User+"'") {
							t.Errorf("%s: %v", config.User, err)
						}
						continue
					}
					if got := ask(t, c, "select @@hostname"); want == "" || !strings.Contains(want, got) {
						t.Errorf("%s is at %s", config.User, got)
					}
					c.Close()
				}
			})
		}
		all.Wait()
		for range clients * logins {
			r.record()
		}
		if got := r.gauge("logins_moved_total", "mysql"); got != clients/2*logins {
			t.Errorf("%v were moved", got)
		}
	})
}

// TestEndsAtEachByteOfAMovedLogin: the client, or the server that it is moved to, stops after each byte in turn, by a close
// or by a reset. Whatever it is, the session ends and leaves nothing behind.
func TestEndsAtEachByteOfAMovedLogin(t *testing.T) {
	greeting := secondGreeting(mysqlwire.StarRocksCapabilities)
	fromServer := packetOf(2, switchRequest) + packetOf(4, ok)
	fromClient := packetOf(3, "answer")
	for _, way := range []string{"close", "reset"} {
		t.Run(way, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, kind string) {
				var most int // bytes that the server says
				var mu sync.Mutex
				second := backendOf(t, func(c *net.TCPConn) {
					mu.Lock()
					n := most
					mu.Unlock()
					io.WriteString(c, greeting[:min(n, len(greeting))])
					if n -= len(greeting); n > 0 {
						if _, _, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload); err != nil {
							return
						}
						first := len(packetOf(2, switchRequest))
						io.WriteString(c, fromServer[:min(n, first)])
						if n > first {
							if _, _, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload); err != nil {
								return
							}
							io.WriteString(c, fromServer[first:n])
						}
					}
					if way == "reset" {
						c.SetLinger(0)
					}
				})
				r := serveRoutes(t, kind, nil, annToETL, []string{backendOf(t, func(c *net.TCPConn) {
					io.WriteString(c, plainGreeting)
					io.Copy(io.Discard, c)
				})}, []string{second})
				end := func(c *client) {
					if way == "reset" {
						c.reset()
					}
					c.Close()
				}
				for n := range len(greeting) + len(fromServer) { // without the last byte
					mu.Lock()
					most = n
					mu.Unlock()
					c := r.dial()
					expect(t, c, plainGreeting)
					c.send(richLogin())
					if n > len(greeting)+len(packetOf(2, switchRequest)) { // otherwise it is gone by then
						expect(t, c, packetOf(2, switchRequest))
						c.send(fromClient)
					}
					c.rest()
					end(c)
					if s := r.record(); s.Pool != "etl" {
						t.Errorf("after %d bytes of the server: %+v", n, s)
					}
				}
				mu.Lock()
				most = len(greeting) + len(fromServer)
				mu.Unlock()
				whole := richLogin() + fromClient
				for n := range len(whole) {
					c := r.dial()
					expect(t, c, plainGreeting)
					c.send(whole[:min(n, len(richLogin()))])
					if n > len(richLogin()) {
						expect(t, c, packetOf(2, switchRequest))
						c.send(whole[len(richLogin()):n])
					}
					end(c)
					if s := r.record(); !strings.HasPrefix(s.End, "client_") {
						t.Errorf("after %d bytes of the client: %+v", n, s)
					}
				}
			})
		})
	}
}
