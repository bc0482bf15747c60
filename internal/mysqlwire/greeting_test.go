package mysqlwire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

const sampleScramble = "abcdefghijklmnopqrst"

func TestParseGreeting(t *testing.T) {
	for _, test := range []struct {
		name, sample string
		want         Greeting
	}{
		{"StarRocks", starrocksGreeting, Greeting{
			Protocol: 10, Version: "8.0.33", ConnectionID: 1<<24 | 7, Scramble: []byte(sampleScramble),
			Capabilities: StarRocksCapabilities, Charset: 33, AuthPlugin: NativePassword,
		}},
		{"old StarRocks", starrocksOldGreeting, Greeting{
			Protocol: 10, Version: "5.1.0", ConnectionID: 7, Scramble: []byte(sampleScramble),
			Capabilities: StarRocksCapabilities, Charset: 33, AuthPlugin: NativePassword,
		}},
		{"Doris", dorisGreeting, Greeting{
			Protocol: 10, Version: "5.7.99", ConnectionID: 42, Scramble: []byte(sampleScramble),
			Capabilities: DorisCapabilities | ClientSSL, Charset: 33, AuthPlugin: NativePassword,
		}},
		{"MariaDB", mariadbGreeting, Greeting{
			Protocol: 10, Version: "5.5.5-10.11.19-MariaDB-0+deb12u1", ConnectionID: 4, Scramble: []byte("9fxKKw6F=>_F~kyBy[?d"),
			Capabilities: 0x81fff7fe, Charset: 8, Status: StatusAutocommit,
			Reserved: [10]byte{6: 0x1d}, AuthPlugin: NativePassword,
		}},
	} {
		in := exact(payload(t, test.sample))
		got, err := ParseGreeting(in)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", test.name, got, err, test.want)
		}
		if out := test.want.Append(nil); !bytes.Equal(out, in) {
			t.Errorf("%s: Append gives\n% x, want\n% x", test.name, out, in)
		}
		scribble(in)
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: the greeting shares memory with the payload", test.name)
		}
	}
}

func TestGreetingLengths(t *testing.T) {
	for version, want := range map[string]int{"8.0.33": 78, "5.1.0": 77} {
		g := Greeting{Version: version, Scramble: []byte(sampleScramble), Capabilities: StarRocksCapabilities, AuthPlugin: NativePassword}
		if got := HeaderLen + len(g.Append(nil)); got != want {
			t.Errorf("a StarRocks greeting with version %s has %d bytes, want %d", version, got, want)
		}
	}
}

func TestParseGreetingLenient(t *testing.T) {
	whole := payload(t, starrocksGreeting)
	for name, in := range map[string][]byte{
		"plugin without NUL": whole[:len(whole)-1],
		"bytes after it":     append(bytes.Clone(whole), "more"...),
	} {
		g, err := ParseGreeting(exact(in))
		if err != nil || g.AuthPlugin != NativePassword || string(g.Scramble) != sampleScramble {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	g, err := ParseGreeting([]byte("\x0a3.21\x00\x01\x00\x00\x00abcdefgh\x00\x0c\x00"))
	if err != nil || g.Version != "3.21" || string(g.Scramble) != "abcdefgh" || g.AuthPlugin != "" {
		t.Errorf("greeting of MySQL 3.21: %+v, %v", g, err)
	}
}

func TestParseGreetingError(t *testing.T) {
	_, err := ParseGreeting(payload(t, tooManyError))
	var server *ServerError
	if !errors.As(err, &server) || server.Code != 1040 || server.Message != "Too many connections" || errors.Is(err, ErrMalformed) {
		t.Errorf("an ERR packet gives %#v", err)
	}
}

func TestParseGreetingMalformed(t *testing.T) {
	whole := payload(t, starrocksGreeting)
	for _, test := range []struct {
		in   []byte
		want string
	}{
		{nil, "protocol version: 1 bytes wanted, 0 left (offset 0)"},
		{[]byte("HTTP/1.1 400 Bad Request"), "protocol version: 72, not 10 (offset 0)"},
		{[]byte("\x0a8.0.33"), "server version: no NUL in the 6 bytes left (offset 1)"},
		{whole[:10], "connection id: 4 bytes wanted, 2 left (offset 8)"},
		{whole[:15], "scramble, first part: 8 bytes wanted, 3 left (offset 12)"},
		{whole[:23], "scramble, second part: announced, but the packet ends (offset 23)"},
		{whole[:35], "reserved: 10 bytes wanted, 6 left (offset 29)"},
		{whole[:45], "scramble, second part: 12 bytes wanted, 6 left (offset 39)"},
	} {
		g, err := ParseGreeting(exact(test.in))
		want := "mysqlwire: malformed packet: greeting: " + test.want
		if !errors.Is(err, ErrMalformed) || err.Error() != want || !reflect.DeepEqual(g, Greeting{}) {
			t.Errorf("%q: %+v, %v\nwant %s", test.in, g, err, want)
		}
	}
}

func TestGreetingAppendAllocatesNothing(t *testing.T) {
	g, err := ParseGreeting(payload(t, starrocksGreeting))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 128)
	if n := testing.AllocsPerRun(100, func() { g.Append(AppendHeader(buf, 74, 0)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSameGreetingAgainAllocatesNothing(t *testing.T) {
	p, g := payload(t, starrocksGreeting), Greeting{}
	if n := testing.AllocsPerRun(100, func() { _ = g.Parse(p) }); n != 0 || g.Version == "" || len(g.Scramble) != 20 {
		t.Errorf("%v allocations for %+v", n, g)
	}
}

func FuzzGreeting(f *testing.F) {
	for _, s := range []string{starrocksGreeting, starrocksOldGreeting, dorisGreeting, mariadbGreeting, ancientGreeting, tooManyError} {
		f.Add(payload(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := exact(b)
		g, err := ParseGreeting(in)
		scribble(in)
		var server *ServerError
		if err != nil {
			if errors.As(err, &server) == errors.Is(err, ErrMalformed) {
				t.Fatalf("neither or both of ServerError and ErrMalformed: %v", err)
			}
			return
		}
		again, err := ParseGreeting(exact(g.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, g) {
			t.Fatalf("read %+v\nwritten and read again %+v, %v", g, again, err)
		}
		for _, before := range []string{starrocksGreeting, mariadbGreeting, ancientGreeting} {
			used, _ := ParseGreeting(payload(t, before))
			if err := used.Parse(exact(b)); err != nil || !reflect.DeepEqual(used, g) {
				t.Fatalf("read %+v\nin the memory of another one %+v, %v", g, used, err)
			}
		}
	})
}
