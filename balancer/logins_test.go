package balancer

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead/internal/mysqlwire"
)

// loginOf is a login packet of a user with a database.
func loginOf(user, database string) string {
	l := mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities, User: user, Database: database, AuthPlugin: mysqlwire.NativePassword}
	return packetOf(1, string(l.Append(nil)))
}

// TestSessionsOfUsersAndDatabases are counted exactly: the last one that may come in does, and each that ends makes room.
func TestSessionsOfUsersAndDatabases(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, func(c *Config, _ *Options) {
			c.Listeners[0].MaxSessionsPerUser = 2
			c.Listeners[0].MaxSessionsPerDatabase = 3
		}, addresses...)
		try := func(user, database string) (*client, *mysqlwire.ServerError) {
			c := r.dial()
			c.greet()
			c.send(loginOf(user, database))
			h, payload, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload)
			if err != nil || h.Sequence != 2 {
				t.Fatalf("number %d: %v", h.Sequence, err)
			}
			if payload[0] != errPacket {
				return c, nil
			}
			refused, err := mysqlwire.ParseError(payload)
			if err != nil {
				t.Fatal(err)
			}
			return c, refused
		}
		first, _ := try("root", "sales")
		if _, refused := try("root", "sales"); refused != nil {
			t.Errorf("the second is told %v", refused)
		}
		_, refused := try("root", "other")
		if refused == nil || refused.Code != 1203 || refused.State != "42000" || refused.Message != `fairlead: user "root" already has its max_sessions_per_user of 2` {
			t.Errorf("the third is told %v", refused)
		}
		if s := r.wantReject("user_full"); s.User != "root" || s.Backend == "" {
			t.Errorf("the record is %+v", s)
		}
		// A wrong user counts while the server makes up its mind, and not any more once its session has ended.
		for range 3 {
			c, refused := try("nobody", "sales")
			if refused == nil || refused.Code != 1045 {
				t.Errorf("a wrong user is told %v", refused)
			}
			c.Close()
			r.record()
		}
		first.Close()
		r.record()
		if _, refused := try("root", ""); refused != nil {
			t.Errorf("one has gone, and the next is told %v", refused)
		}
		l := &r.Listener("mysql").logins
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.mu.users) != 1 || len(l.mu.databases) != 2 {
			t.Errorf("kept are %v and %v", l.mu.users, l.mu.databases)
		}
	})
}

func TestSessionsOfDatabases(t *testing.T) {
	var l logins
	who := func(user, database string) identity {
		return identity{user: newWord(user), database: newWord(database)}
	}
	for _, user := range []string{"ann", "bob"} {
		if full := l.enter(who(user, "sales"), 0, 2); full != nil {
			t.Error(full)
		}
	}
	full := l.enter(who("eve", "sales"), 0, 2)
	if full == nil || full.reason != "database_full" || full.answer.Code != 1226 || full.answer.State != "42000" ||
		!strings.Contains(full.answer.Message, `database "sales" has its max_sessions_per_database of 2`) {
		t.Errorf("the third gets %v", full)
	}
	for range 5 {
		if full := l.enter(who("ann", ""), 0, 2); full != nil {
			t.Errorf("no database has no bound: %v", full)
		}
		defer l.leave(who("ann", ""))
	}
	l.leave(who("bob", "sales"))
	if full := l.enter(who("eve", "sales"), 0, 2); full != nil {
		t.Error(full)
	}
}

// TestManyUsersAtOnce: never more than may be, and nothing is left of them.
func TestManyUsersAtOnce(t *testing.T) {
	var l logins
	var in, most, let atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			who := identity{user: newWord("ann"), database: newWord("sales")}
			for range 2000 {
				if l.enter(who, 3, 0) == nil {
					let.Add(1)
					n := in.Add(1)
					for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
					}
					in.Add(-1)
					l.leave(who)
				}
			}
		})
	}
	all.Wait()
	if most.Load() > 3 || let.Load() == 0 || len(l.mu.users)+len(l.mu.databases) != 0 {
		t.Errorf("%d at once, %d in all, %v left", most.Load(), let.Load(), l.mu.users)
	}
}

// TestKill ends a session whatever it does.
func TestKill(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		_, addresses := startFEs(t, 1, nil)
		r := serve(t, kind, nil, addresses...)
		c := r.enter()
		<-r.begun
		other := r.enter()
		<-r.begun
		id := r.LiveSessions()[0].ID
		killed, ok := r.Kill(id)
		if !ok || killed.ID != id || killed.User != "root" || killed.Client.String() != c.LocalAddr().String() {
			t.Errorf("killed is %+v, %v", killed, ok)
		}
		c.wantGone()
		if s := r.wantEnd("killed"); s.ID != id {
			t.Errorf("the record is %+v", s)
		}
		if _, ok := r.Kill(id); ok {
			t.Error("it can be killed twice")
		}
		if _, ok := r.Kill(1 << 60); ok {
			t.Error("a session that never was can be killed")
		}
		other.send(packetOf(0, "\x0e")) // COM_PING
		if p := other.packet(); p[0] != okPacket {
			t.Errorf("the other session hears %q", p)
		}
	})
}

// TestKillDuringTheSetUp: a client that waits for a backend is told so, one that is logging in is cut.
func TestKillDuringTheSetUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		asked := make(chan struct{}, 1)
		r := serveRoutes(t, kind, nil, annToETL, []string{backendOf(t, func(c *net.TCPConn) {
			io.WriteString(c, plainGreeting)
			io.Copy(io.Discard, c)
		})}, []string{backendOf(t, func(c *net.TCPConn) {
			asked <- struct{}{}
			io.Copy(io.Discard, c)
		})})
		kill := func() {
			all := r.LiveSessions()
			if len(all) != 1 || all[0].LoggedIn {
				t.Fatalf("live are %+v", all)
			}
			if _, ok := r.Kill(all[0].ID); !ok {
				t.Error("there is no such session")
			}
		}
		c := r.dial()
		c.greet()
		kill()
		c.wantGone()
		r.wantEnd("killed")

		moved := r.dial()
		moved.greet()
		moved.send(richLogin())
		<-asked
		kill()
		h, payload, err := mysqlwire.ReadPacket(moved, nil, mysqlwire.MaxPayload)
		if err != nil || h.Sequence != 2 || !strings.Contains(string(payload), "the session was killed") {
			t.Errorf("number %d: %q, %v", h.Sequence, payload, err)
		}
		moved.wantGone()
		r.wantEnd("killed")
	})
}
