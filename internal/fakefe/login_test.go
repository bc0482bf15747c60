package fakefe

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

func TestPasswords(t *testing.T) {
	users := map[string]string{"root": "", "app": "s3cret'"}
	for _, config := range []Config{
		{Users: users},
		{Users: users, ForceSwitch: true},
		{Users: users, AuthPlugin: mysqlwire.ClearPassword},
		{Users: users, Flavour: Doris},
	} {
		fe := start(t, config)
		for _, test := range []struct {
			login string
			ok    bool
		}{
			{"root", true}, {"root:x", false}, {"app:s3cret'", true}, {"app", false}, {"app:S3cret'", false}, {"nobody", false},
		} {
			db := open(t, test.login+"@tcp("+fe.Address()+")/?allowCleartextPasswords=true")
			err := db.PingContext(patiently(t))
			var refused *mysql.MySQLError
			if test.ok != (err == nil) || err != nil && (!errors.As(err, &refused) || refused.Number != 1045 || string(refused.SQLState[:]) != "28000") {
				t.Errorf("%+v: %s: %v", config, test.login, err)
			}
			db.Close()
		}
		if c := fe.Counts(); c.Logins != 2 || c.Denied != 4 {
			t.Errorf("%+v: counts %+v", config, c)
		}
	}
}

// TestSwitch logs in with a plugin that the FE does not have: the switch carries a fresh scramble.
func TestSwitch(t *testing.T) {
	fe := start(t, Config{Users: map[string]string{"app": "secret"}})
	for _, plugin := range []string{mysqlwire.CachingSHA2Password, "no_such_plugin", ""} {
		c := dial(t, fe)
		c.greet()
		c.send(mysqlwire.Login{Capabilities: c.caps, User: "app", AuthPlugin: plugin, AuthResponse: []byte("whatever")}.Append(nil))
		s, err := mysqlwire.ParseAuthSwitch(c.must())
		if err != nil || s.Plugin != mysqlwire.NativePassword || len(s.Data) != 20 || bytes.Equal(s.Data, c.greeting.Scramble) {
			t.Fatalf("%q: switch %+v, %v after the scramble %q", plugin, s, err, c.greeting.Scramble)
		}
		c.send(mysqlwire.NativeResponse(s.Data, "secret"))
		c.ok()
		c.command(mysqlwire.ComPing, "")
		c.ok()
	}
	c := dial(t, fe)
	c.greet()
	c.send(mysqlwire.Login{Capabilities: c.caps, User: "app", AuthPlugin: "other"}.Append(nil))
	c.must()
	c.send(mysqlwire.NativeResponse(c.greeting.Scramble, "secret")) // the old scramble
	c.refused(1045)
	c.ended()
}

func TestMaxConnections(t *testing.T) {
	fe := start(t, Config{MaxConnections: 1})
	first := enter(t, fe)
	second := dial(t, fe)
	second.greet()
	second.login("root", "")
	second.refused(1203)
	second.ended()
	first.command(mysqlwire.ComQuit, "")
	first.ended()
	await(t, fe, "a place", empty)
	enter(t, fe)
}

func TestBadLogins(t *testing.T) {
	fe := start(t, Config{})
	for name, payload := range map[string][]byte{
		"HTTP":      []byte("GET / HTTP/1.1\r\nHost: fe\r\n\r\n"),
		"short":     {1, 2, 3},
		"empty":     {},
		"TLS asked": mysqlwire.Login{Capabilities: mysqlwire.StarRocksCapabilities | mysqlwire.ClientSSL, SSLRequest: true}.Append(nil),
	} {
		c := dial(t, fe)
		c.greet()
		c.send(payload)
		if e := c.refused(1043); e.Message == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	c := dial(t, fe)
	c.greet()
	c.conn.Write([]byte{0xff, 0xff, 0xff, 1})
	c.refused(1153)
}

func TestChangeUserAndReset(t *testing.T) {
	fe := start(t, Config{Users: map[string]string{"root": "", "app": "secret"}})
	c := enter(t, fe)
	c.command(mysqlwire.ComResetConnection, "")
	c.ok()
	change := func(password string) {
		c.seq = 0
		c.send(mysqlwire.Login{
			Capabilities: c.caps, User: "app", AuthResponse: mysqlwire.NativeResponse(c.greeting.Scramble, password), Database: "sales",
			AuthPlugin: mysqlwire.NativePassword,
		}.AppendChangeUser(nil))
	}
	change("secret")
	c.ok()
	c.command(mysqlwire.ComQuery, "select database(), user()")
	for range 4 { // count, two columns, EOF
		c.must()
	}
	row := c.must()
	if want := "\x05sales\x11'app'@'127.0.0.1'"; string(row) != want {
		t.Errorf("row %q, want %q", row, want)
	}
	c.must()
	change("wrong")
	c.refused(1045)
	c.ended()
}
