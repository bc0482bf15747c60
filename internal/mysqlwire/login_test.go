package mysqlwire

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseLogin(t *testing.T) {
	response := NativeResponse([]byte(sampleScramble), "secret")
	for _, test := range []struct {
		name, sample string
		want         Login
		program      string
	}{
		{"mariadb client", mariadbLogin, Login{
			Capabilities: 0x00bfa28c, MaxPacket: 1 << 20, Charset: 33, User: "root", AuthResponse: response, Database: "sales",
			AuthPlugin: NativePassword, Attributes: []Attribute{
				{"_os", "Linux"}, {"_client_name", "libmariadb"}, {"_pid", "13334"}, {"_client_version", "3.3.20"},
				{"_platform", "x86_64"}, {"program_name", "mysql"}, {"_server_host", "127.0.0.1"},
			},
		}, "mysql"},
		{"go-sql-driver", goLogin, Login{
			Capabilities: StarRocksCapabilities, Charset: 45, User: "app", AuthResponse: response, Database: "sales",
			AuthPlugin: NativePassword, Attributes: []Attribute{
				{"_client_name", "Go-MySQL-Driver"}, {"_os", "linux"}, {"_platform", "amd64"}, {"_pid", "13983"},
				{"_server_host", "127.0.0.1"}, {"program_name", "etl"},
			},
		}, "etl"},
		{"documentation", docLogin, Login{
			Capabilities: 0x000fa68d, MaxPacket: 1 << 24, Charset: 8, User: "pam", Database: "test", AuthPlugin: NativePassword,
			AuthResponse: []byte("\xab\x09\xee\xf6\xbc\xb1\x32\x3e\x61\x14\x38\x65\xc0\x99\x1d\x95\x7d\x75\xd4\x47"),
		}, ""},
		{"before 4.1", oldLogin, Login{
			Capabilities: 0x240d, User: "old", AuthResponse: []byte("GDSCQQR_"), Database: "test",
		}, ""},
		{"request for TLS", sslRequest, Login{
			Capabilities: 0x000fae8d, MaxPacket: 1 << 24, Charset: 8, SSLRequest: true,
		}, ""},
	} {
		in := exact(payload(t, test.sample))
		got, err := ParseLogin(in)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", test.name, got, err, test.want)
		}
		if out := test.want.Append(nil); !bytes.Equal(out, in) {
			t.Errorf("%s: Append gives\n% x, want\n% x", test.name, out, in)
		}
		if p := got.Program(); p != test.program {
			t.Errorf("%s: program %q, want %q", test.name, p, test.program)
		}
		scribble(in)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: the login shares memory with the payload", test.name)
		}
	}
}

func TestProgram(t *testing.T) {
	for want, attributes := range map[string][]Attribute{
		"":                         {{"_os", "linux"}},
		"MySQL Connector/J 8.0.33": {{"_client_version", "8.0.33"}, {"_client_name", "MySQL Connector/J"}},
		"Go-MySQL-Driver":          {{"_client_name", "Go-MySQL-Driver"}},
		"report":                   {{"_client_name", "libmariadb"}, {"program_name", "report"}, {"_client_version", "3"}},
	} {
		if got := (Login{Attributes: attributes}).Program(); got != want {
			t.Errorf("%v: program %q, want %q", attributes, got, want)
		}
	}
}

func TestParseLoginLenient(t *testing.T) {
	all := ClientProtocol41 | ClientSecureConnection | ClientConnectWithDB | ClientPluginAuth | ClientConnectAttrs | ClientZstdCompression
	fixed := Login{Capabilities: all, SSLRequest: true}.Append(nil)
	for name, test := range map[string]struct{ in, database, plugin string }{
		"ends after the response":  {"u\x00\x00", "", ""},
		"database without NUL":     {"u\x00\x00db", "db", ""},
		"plugin without NUL":       {"u\x00\x00db\x00p", "db", "p"},
		"no attributes":            {"u\x00\x00db\x00p\x00", "db", "p"},
		"no level":                 {"u\x00\x00db\x00p\x00\x00", "db", "p"},
		"bytes after the last one": {"u\x00\x00db\x00p\x00\x00\x03more", "db", "p"},
	} {
		l, err := ParseLogin(exact(append(bytes.Clone(fixed), test.in...)))
		if err != nil || l.User != "u" || l.Database != test.database || l.AuthPlugin != test.plugin {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
}

func TestParseLoginMalformed(t *testing.T) {
	all := ClientProtocol41 | ClientSecureConnection | ClientPluginAuth | ClientConnectAttrs
	fixed := string(Login{Capabilities: all, SSLRequest: true}.Append(nil))
	lenenc := string(Login{Capabilities: all | ClientPluginAuthLenenc, SSLRequest: true}.Append(nil))
	for _, test := range []struct{ in, want string }{
		{"", "capability flags: 2 bytes wanted, 0 left (offset 0)"},
		{"\x00\x02\x00", "capability flags: 4 bytes wanted, 3 left (offset 0)"},
		{fixed[:20], "reserved: 23 bytes wanted, 11 left (offset 9)"},
		{fixed, "user: no NUL in the 0 bytes left (offset 32)"},
		{fixed + "root", "user: no NUL in the 4 bytes left (offset 32)"},
		{fixed + "u\x00", "authentication response: 1 bytes wanted, 0 left (offset 34)"},
		{fixed + "u\x00\x14short", "authentication response: 20 bytes wanted, 5 left (offset 35)"},
		{lenenc + "u\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff", "authentication response: says it has 18446744073709551615 bytes, 0 left (offset 34)"},
		{lenenc + "u\x00\xfb", "authentication response: no length-encoded integer in the 1 bytes left (offset 34)"},
		{fixed + "u\x00\x00p\x00\x05ab", "attributes: says it has 5 bytes, 2 left (offset 37)"},
		{fixed + "u\x00\x00p\x00\x02\x05b", "name of an attribute: says it has 5 bytes, 1 left (offset 38)"},
		{fixed + "u\x00\x00p\x00\x02\x01b", "value of an attribute: no length-encoded integer in the 0 bytes left (offset 40)"},
		{fixed + "u\x00\x00p\x00\xfd\x00\x00\x01" + strings.Repeat("\x00", 1<<16), "attributes: 65536 bytes, at most 65535 accepted (offset 37)"},
		{"GET / HTTP/1.1\r\n\r\n", "user: no NUL in the 13 bytes left (offset 5)"},
	} {
		l, err := ParseLogin(exact([]byte(test.in)))
		want := "mysqlwire: malformed packet: login: " + test.want
		if !errors.Is(err, ErrMalformed) || err.Error() != want || !reflect.DeepEqual(l, Login{}) {
			t.Errorf("%.80q: %+v, %v\nwant %s", test.in, l, err, want)
		}
	}
}

func TestChangeUser(t *testing.T) {
	want := Login{
		Capabilities: StarRocksCapabilities, Charset: 33, User: "app", AuthResponse: []byte("01234567890123456789"), Database: "sales",
		AuthPlugin: NativePassword, Attributes: []Attribute{{"program_name", "etl"}},
	}
	b := want.AppendChangeUser(nil)
	if prefix := "\x11app\x00\x1401234567890123456789sales\x00\x21\x00mysql_native_password\x00\x11\x0cprogram_name\x03etl"; string(b) != prefix {
		t.Errorf("written %q\nwant    %q", b, prefix)
	}
	got, err := ParseChangeUser(exact(b), want.Capabilities)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	short, err := ParseChangeUser([]byte("\x11u\x00\x00\x00"), want.Capabilities)
	if err != nil || short.User != "u" {
		t.Errorf("a packet that ends after the database: %+v, %v", short, err)
	}
	for _, in := range []string{"", "\x03select 1", "\x11user", "\x11u\x00\x05abc"} {
		if _, err := ParseChangeUser([]byte(in), want.Capabilities); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// recordedLogins are packets that real clients have sent to a front end, by the client's name.
func recordedLogins(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/logins/*.bin")
	if err != nil || len(files) == 0 {
		t.Fatalf("no logins: %v", err)
	}
	all := map[string][]byte{}
	for _, file := range files {
		if all[strings.TrimSuffix(filepath.Base(file), ".bin")], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// The logins of real clients are read, and written as they came.
func TestRecordedLogins(t *testing.T) {
	for client, packet := range recordedLogins(t) {
		h, _ := ParseHeader(packet)
		login, err := ParseLogin(packet[HeaderLen:])
		if err != nil || h.Length != len(packet)-HeaderLen || h.Sequence != 1 || login.User != "app" && login.User != "root" {
			t.Errorf("%s: %+v, %v", client, login, err)
		}
		if again := login.Append(nil); !bytes.Equal(again, packet[HeaderLen:]) {
			t.Errorf("%s becomes\n%x, want\n%x", client, again, packet[HeaderLen:])
		}
	}
}

// A program's connections log in with the same packet, but for the answer to the scramble.
func TestSameLoginAgainAllocatesNothing(t *testing.T) {
	for name, sample := range map[string]string{"mariadb": mariadbLogin, "go": goLogin, "doc": docLogin, "old": oldLogin} {
		p, l := payload(t, sample), Login{}
		if n := testing.AllocsPerRun(100, func() { _ = l.Parse(p) }); n != 0 || l.User == "" {
			t.Errorf("%s: %v allocations for %+v", name, n, l)
		}
	}
}

func FuzzLogin(f *testing.F) {
	for _, s := range []string{mariadbLogin, goLogin, docLogin, oldLogin, sslRequest} {
		f.Add(payload(f, s))
	}
	f.Add(Login{Capabilities: ClientProtocol41 | ClientPluginAuthLenenc | ClientZstdCompression, User: "u", ZstdLevel: 3}.Append(nil))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	for _, packet := range recordedLogins(f) {
		f.Add(packet[HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := exact(b)
		l, err := ParseLogin(in)
		scribble(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseLogin(exact(l.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("read %+v\nwritten and read again %+v, %v", l, again, err)
		}
		for _, before := range []string{mariadbLogin, docLogin, oldLogin, sslRequest} {
			used, _ := ParseLogin(payload(t, before))
			if err := used.Parse(exact(b)); err != nil || !reflect.DeepEqual(used, l) {
				t.Fatalf("read %+v\nin the memory of another one %+v, %v", l, used, err)
			}
		}
	})
}

func FuzzChangeUser(f *testing.F) {
	f.Add(Login{Capabilities: StarRocksCapabilities, User: "app", AuthPlugin: NativePassword}.AppendChangeUser(nil), uint32(StarRocksCapabilities))
	f.Add([]byte("\x11u\x00\x00\x00"), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, caps uint32) {
		in := exact(b)
		l, err := ParseChangeUser(in, Capability(caps))
		scribble(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseChangeUser(exact(l.AppendChangeUser(nil)), Capability(caps))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("read %+v\nwritten and read again %+v, %v", l, again, err)
		}
	})
}
