package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

func text(s string) *string { return &s }

// deep is the configuration of a probe that logs in as the frontend's user.
func deep(t testing.TB) Config {
	return Config{Timeout: long, User: "probe", PasswordFile: file(t, "secret\n"), Query: "select 1", Expect: text("1")}
}

func TestLoginAndQuery(t *testing.T) {
	type change func(*Config, *frontend)
	for name, test := range map[string]struct {
		change change
		want   expectation
		config string // part of ConfigError
	}{
		"fit":        {func(c *Config, f *frontend) {}, expectation{Fit, StepQuery, "", ""}, ""},
		"login only": {func(c *Config, f *frontend) { c.Query, c.Expect = "", nil }, expectation{Fit, StepLogin, "", ""}, ""},
		"no password": {func(c *Config, f *frontend) { c.PasswordFile, f.password = "", "" },
			expectation{Fit, StepQuery, "", ""}, ""},
		"any answer": {func(c *Config, f *frontend) { c.Expect, f.answer = nil, table([]string{"a", "b"}) },
			expectation{Fit, StepQuery, "", ""}, ""},
		"no result": {func(c *Config, f *frontend) {
			c.Expect, f.answer = nil, raw(mysqlwire.OK{}.Append(nil, mysqlwire.ClientProtocol41))
		},
			expectation{Fit, StepQuery, "", ""}, ""},
		"many rows": {func(c *Config, f *frontend) {
			f.answer = table([]string{"a"}, []string{"1"}, []string{"2"}, []string{"3"})
		},
			expectation{Fit, StepQuery, "", ""}, ""},
		"NULL": {func(c *Config, f *frontend) { c.Expect, f.answer = text(""), one("\x00") },
			expectation{Fit, StepQuery, "", ""}, ""},
		"unexpected": {func(c *Config, f *frontend) { f.answer = one("2\n") },
			expectation{Unfit, StepQuery, failQueryUnexpected, `"select 1" gave "2\n", "1" expected`}, ""},
		"no row": {func(c *Config, f *frontend) { f.answer = table([]string{"a"}) },
			expectation{Unfit, StepQuery, failQueryUnexpected, `"select 1" gave no row, "1" expected`}, ""},
		"query refused": {func(c *Config, f *frontend) { f.answer = raw(refusal(1064, "HY000", "no leader")) },
			expectation{Unfit, StepQuery, failQueryFailed, `"select 1" failed: error 1064 (HY000) "no leader"`}, ""},
		"result breaks off": {func(c *Config, f *frontend) {
			packets := one("1")("")
			f.answer = raw(packets[0], packets[1], packets[2], refusal(1317, "70100", "interrupted"))
		}, expectation{Unfit, StepQuery, failQueryFailed, `error 1317 (70100) "interrupted"`}, ""},
		"wrong password": {func(c *Config, f *frontend) { f.password = "other" },
			expectation{Unfit, StepLogin, failLoginFailed, `user "probe" is refused: error 1045 (28000) "Access denied for user 'probe'"`},
			"login: user \"probe\" is refused"},
		"full": {func(c *Config, f *frontend) { f.refuse = refusal(1203, "42000", "Reach limit of connections") },
			expectation{Unfit, StepLogin, failLoginFailed, `error 1203 (42000) "Reach limit of connections"`}, ""},
		"ERR without a text": {func(c *Config, f *frontend) { f.refuse = []byte{0xff, 0x15, 0x04} },
			expectation{Unfit, StepLogin, failLoginFailed, "error 1045"}, "login"},
		"plugin unknown": {func(c *Config, f *frontend) {
			f.refuse = mysqlwire.AuthSwitch{Plugin: "authentication_kerberos", Data: scramble}.Append(nil)
		}, expectation{Unfit, StepLogin, failLoginError, "can't log in this way: this authentication plugin is not supported"}, "login"},
		"password in clear": {func(c *Config, f *frontend) {
			f.refuse = mysqlwire.AuthSwitch{Plugin: mysqlwire.ClearPassword}.Append(nil)
		}, expectation{Unfit, StepLogin, failLoginError, "needs tls with a verified certificate"}, "login"},
		"no TLS offered": {func(c *Config, f *frontend) { c.TLS = "skip-verify" },
			expectation{Unfit, StepLogin, failLoginTLS, "the server offers no TLS"}, "login"},
		"too old": {func(c *Config, f *frontend) { f.greeting.Capabilities = 0 },
			expectation{Unfit, StepLogin, failLoginError, "the server is too old"}, ""},
		"no password file": {func(c *Config, f *frontend) { c.PasswordFile = "/nonexistent/secret" },
			expectation{Undecided, StepLogin, failConfig, "password_file: open /nonexistent/secret"}, "login: password_file"},
		"no CA file": {func(c *Config, f *frontend) { c.TLS = "/nonexistent/ca" },
			expectation{Undecided, StepLogin, failConfig, "tls: open /nonexistent/ca"}, "login: tls"},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := deep(t), newFrontend()
			f.answer = one("1")
			test.change(&c, f)
			r := Once(t.Context(), c, at(serve(t, f.handle)))
			test.want.check(t, r)
			if (r.ConfigError == "") != (test.config == "") || !strings.HasPrefix(r.ConfigError, test.config) {
				t.Errorf("configuration error %q, want %q", r.ConfigError, test.config)
			}
			if r.Version != "8.0.33" {
				t.Errorf("the greeting is not told of: %+v", r)
			}
		})
	}
}

func TestLoginAndQueryTimeOut(t *testing.T) {
	t.Parallel()
	c, f := deep(t), newFrontend()
	c.Timeout = time.Second
	f.answer = raw()
	expectation{Unfit, StepQuery, failQueryTimeout, "no answer within 1s"}.check(t, Once(t.Context(), c, at(serve(t, f.handle))))
	silent := serve(t, says(starRocks().Append(nil)))
	expectation{Unfit, StepLogin, failLoginTimeout, "no answer within 1s"}.check(t, Once(t.Context(), c, at(silent)))
	closes := serve(t, func(conn net.Conn) {
		conn.Write(packet(starRocks().Append(nil), 0))
		mysqlwire.ReadPacket(conn, nil, 1<<16)
	})
	c.Timeout = long
	expectation{Unfit, StepLogin, failLoginError, "the server closed the connection"}.check(t, Once(t.Context(), c, at(closes)))
}

// A secret is read at each probe.
func TestPasswordIsReadAnew(t *testing.T) {
	c, f := deep(t), newFrontend()
	f.answer = one("1")
	target := at(serve(t, f.handle))
	for _, secret := range []struct{ file, password string }{
		{"secret\n", "secret"}, {"two\r\n", "two"}, {"three", "three"}, {" four \n\n", " four \n"}, {"", ""},
	} {
		f.password = secret.password // no connection is open
		if err := os.WriteFile(c.PasswordFile, []byte(secret.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := Once(t.Context(), c, target); r.Verdict != Fit {
			t.Errorf("%q: %s", secret.file, r.Reason)
		}
	}
}

func TestLoginWithTLS(t *testing.T) {
	server, ca := certificate(t, "127.0.0.1")
	other, otherCA := certificate(t, "fe9.example")
	for name, test := range map[string]struct {
		mode   string
		server *tls.Config
		want   expectation
	}{
		"trusted":      {ca, server, expectation{Fit, StepQuery, "", ""}},
		"any":          {"skip-verify", other, expectation{Fit, StepQuery, "", ""}},
		"not the name": {otherCA, other, expectation{Unfit, StepLogin, failLoginTLS, "TLS: "}},
		"not trusted":  {otherCA, server, expectation{Unfit, StepLogin, failLoginTLS, "TLS: "}},
		"not public":   {"true", server, expectation{Unfit, StepLogin, failLoginTLS, "TLS: "}},
		"off":          {"false", server, expectation{Fit, StepQuery, "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			c, f := deep(t), newFrontend()
			c.TLS, f.tls, f.answer = test.mode, test.server, one("1")
			test.want.check(t, Once(t.Context(), c, at(serve(t, f.handle))))
		})
	}
}

// The driver panics over such answers; and its goroutine must not outlive it.
func TestMalformedAnswers(t *testing.T) {
	server, ca := certificate(t, "127.0.0.1")
	column := mysqlwire.Column{Name: "a"}.Append(nil)
	eof := mysqlwire.AppendEOF(nil, 0, 0, mysqlwire.ClientProtocol41)
	before := runtime.NumGoroutine()
	t.Run("answers", func(t *testing.T) {
		for name, answer := range map[string][][]byte{
			"ERR":             {{0xff}},
			"OK":              {{0}},
			"no byte":         {{}},
			"columns":         {{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0}},
			"file wanted":     {append([]byte{0xfb}, "/etc/passwd"...)},
			"column":          {{1}, {3, 'd', 'e', 'f'}, eof},
			"length of a row": {{1}, column, eof, {0xfc, 1}, eof},
			"huge row":        {{1}, column, eof, {0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 'x'}, eof},
			"row cut short":   {{1}, column, eof, {5, 'a'}, eof},
			"too much":        {{1}, column, eof, bytes.Repeat([]byte("\x03abc"), maxAnswers/4)},
		} {
			t.Run(name, func(t *testing.T) {
				for _, mode := range []string{"", ca} {
					c, f := deep(t), newFrontend()
					c.TLS, f.tls, f.answer = mode, server, raw(answer...)
					if mode == "" {
						f.tls = nil
					}
					if strings.Contains(name, "columns") && mode != "" {
						continue // through TLS the driver is on its own
					}
					r := Once(t.Context(), c, at(serve(t, f.handle)))
					if r.Verdict != Unfit || r.Step != StepQuery {
						t.Errorf("TLS %q: %v %s", mode, r.Verdict, r.Reason)
					}
				}
			})
		}
	})
	for deadline := time.Now().Add(long); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// script is a connection that reads what a fuzzer made up and takes all that is written.
type script struct {
	net.Conn
	io.Reader
}

func (s script) Read(p []byte) (int, error)  { return s.Reader.Read(p) }
func (s script) Write(p []byte) (int, error) { return len(p), nil }

// Whatever comes after the greeting, the driver is not brought to panic while it logs in: its goroutine would stay. In
// the query that is contained, and ends.
func FuzzSession(f *testing.F) {
	ok := mysqlwire.OK{}.Append(nil, mysqlwire.ClientProtocol41)
	login := packet(ok, 2)
	for _, answer := range [][][]byte{one("1")(""), {ok}, {refusal(1064, "HY000", "x")}, {{0xff}}, {{0xfc, 1, 0}}} {
		seed := bytes.Clone(login)
		for i, p := range answer {
			seed = append(seed, packet(p, byte(i+1))...)
		}
		f.Add(seed)
	}
	f.Add(packet(mysqlwire.AuthSwitch{Plugin: mysqlwire.NativePassword, Data: scramble}.Append(nil), 2))
	f.Add(packet(mysqlwire.AuthSwitch{Plugin: mysqlwire.NativePassword, Data: scramble[:7]}.Append(nil), 2))
	f.Add(packet(mysqlwire.AuthSwitch{Plugin: mysqlwire.CachingSHA2Password, Data: scramble}.Append(nil), 2))
	f.Add(packet([]byte{0xff, 0x15}, 2))
	f.Add(packet([]byte{0xfe}, 2))
	f.Add(packet([]byte{1, 4}, 2))
	f.Fuzz(func(t *testing.T, answers []byte) {
		a := &attempt{config: Config{User: "probe"}.withDefaults(), target: at()}
		s, err := newSession(script{Reader: bytes.NewReader(answers)}, starRocks())
		if err != nil {
			t.Fatal(err)
		}
		config, fault := a.driverConfig()
		if fault != nil {
			t.Fatal(fault)
		}
		config.Addr, config.Passwd = "127.0.0.1:9030", "secret"
		config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return s, nil }
		connector, err := mysql.NewConnector(config)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{session: s}
		if c.Conn, err = connector.Connect(context.Background()); err != nil {
			if f := a.loginFault(s, err); f.verdict != Unfit || f.failure == "" || f.text == "" {
				t.Fatalf("%v gives %+v", err, f)
			}
			return
		}
		defer c.Close()
		result, fault := a.query(c, "select 1", 10)
		if fault != nil && (fault.verdict != Unfit || fault.text == "" || strings.ContainsAny(fault.text, "\x00\x1b\n")) {
			t.Fatalf("%+v", fault)
		}
		for _, row := range result.rows {
			if len(row) != len(result.columns) || len(result.columns) > maxColumns {
				t.Fatalf("%d values, %d columns", len(row), len(result.columns))
			}
		}
	})
}
