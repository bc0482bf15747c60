package mysqlwire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestParseError(t *testing.T) {
	for _, test := range []struct {
		in   []byte
		want ServerError
		text string
	}{
		{payload(t, tooManyError), ServerError{1040, "", "Too many connections"}, "server error 1040: Too many connections"},
		{
			payload(t, deniedError), ServerError{1045, "28000", "Access denied for user 'root'@'10.0.0.1' (using password: YES)"},
			"server error 1045 (28000): Access denied for user 'root'@'10.0.0.1' (using password: YES)",
		},
		{[]byte("\xff\x10\x04"), ServerError{1040, "", ""}, "server error 1040: "},
		{[]byte("\xff\x10\x04#0800"), ServerError{1040, "", "#0800"}, "server error 1040: #0800"},
		{[]byte("\xff\x10\x04#08004"), ServerError{1040, "08004", ""}, "server error 1040 (08004): "},
	} {
		e, err := ParseError(exact(test.in))
		if err != nil || *e != test.want || e.Error() != test.text {
			t.Errorf("%q: %+v, %v; want %+v", test.in, e, err, test.want)
			continue
		}
		caps := ClientProtocol41
		if e.State == "" {
			caps = 0
		}
		if out := e.Append(nil, caps); !bytes.Equal(out, test.in) {
			t.Errorf("%q is written as %q", test.in, out)
		}
	}
	for in, want := range map[string]string{
		"":         "marker: 1 bytes wanted, 0 left (offset 0)",
		"\x00\x00": "marker: 0x00, not 0xff (offset 0)",
		"\xff\x10": "error code: 2 bytes wanted, 1 left (offset 1)",
	} {
		e, err := ParseError([]byte(in))
		if e != nil || !errors.Is(err, ErrMalformed) || err.Error() != "mysqlwire: malformed packet: ERR: "+want {
			t.Errorf("%q: %v, %v; want %s", in, e, err, want)
		}
	}
}

func TestServerErrorAppendState(t *testing.T) {
	for state, want := range map[string]string{"": "#HY000", "08004": "#08004", "080": "#08000", "080049": "#08004"} {
		got := (&ServerError{Code: 1, State: state, Message: "m"}).Append(nil, ClientProtocol41)
		if string(got) != "\xff\x01\x00"+want+"m" {
			t.Errorf("state %q is written as %q", state, got)
		}
	}
}

func TestAuthSwitch(t *testing.T) {
	in := payload(t, nativeSwitch)
	want := AuthSwitch{Plugin: NativePassword, Data: []byte(sampleScramble)}
	got, err := ParseAuthSwitch(exact(in))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if out := got.Append(nil); !bytes.Equal(out, in) {
		t.Errorf("written % x\nwant    % x", out, in)
	}
	if old, err := ParseAuthSwitch([]byte{0xfe}); err != nil || old.Plugin != "mysql_old_password" || old.Data != nil {
		t.Errorf("the old form gives %+v, %v", old, err)
	}
	for in, want := range map[string]string{
		"":       "marker: 1 bytes wanted, 0 left (offset 0)",
		"\x00":   "marker: 0x00, not 0xfe (offset 0)",
		"\xfeab": "name of the plugin: no NUL in the 2 bytes left (offset 1)",
	} {
		if _, err := ParseAuthSwitch([]byte(in)); !errors.Is(err, ErrMalformed) || err.Error() != "mysqlwire: malformed packet: AuthSwitchRequest: "+want {
			t.Errorf("%q: %v; want %s", in, err, want)
		}
	}
}

func TestOK(t *testing.T) {
	changed := StatusAutocommit | StatusSessionStateChanged
	for _, test := range []struct {
		ok   OK
		caps Capability
		want string
	}{
		{OK{Status: 2}, ClientProtocol41, "\x00\x00\x00\x02\x00\x00\x00"},
		{OK{AffectedRows: 300, LastInsertID: 7, Warnings: 1, Info: "done"}, ClientProtocol41, "\x00\xfc\x2c\x01\x07\x00\x00\x01\x00done"},
		{OK{}, 0, "\x00\x00\x00"},
		{OK{Status: 2}, ClientTransactions, "\x00\x00\x00\x02\x00"},
		{OK{Info: "a"}, ClientProtocol41 | ClientSessionTrack, "\x00\x00\x00\x00\x00\x00\x00\x01a"},
		{
			OK{Status: changed, StateChanges: []byte("x")}, ClientProtocol41 | ClientSessionTrack,
			"\x00\x00\x00\x02\x40\x00\x00\x00\x01x",
		},
	} {
		b := test.ok.Append(nil, test.caps)
		if string(b) != test.want {
			t.Errorf("%+v with %x is written as %q, want %q", test.ok, test.caps, b, test.want)
		}
		if got, err := ParseOK(exact(b), test.caps); err != nil || !reflect.DeepEqual(got, test.ok) {
			t.Errorf("%q: %+v, %v; want %+v", b, got, err, test.ok)
		}
	}
	for _, in := range []string{"", "\xff\x00\x00", "\x00", "\x00\x00\x00\x02"} {
		if _, err := ParseOK([]byte(in), ClientProtocol41); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestEndOfResult(t *testing.T) {
	end := OK{Status: StatusMoreResults, Warnings: 3}
	for caps, want := range map[Capability]string{
		0:                                     "\xfe",
		ClientProtocol41:                      "\xfe\x03\x00\x08\x00",
		ClientProtocol41 | ClientDeprecateEOF: "\xfe\x00\x00\x08\x00\x03\x00",
	} {
		if b := end.AppendEnd(nil, caps); string(b) != want || !IsEOF(b) {
			t.Errorf("with %x: %q, want %q", caps, b, want)
		}
	}
	for _, b := range []string{"", "\x00", "\xfe\x01\x02\x03\x04\x05\x06\x07\x08"} {
		if IsEOF([]byte(b)) {
			t.Errorf("%q is taken for an EOF packet", b)
		}
	}
}

func TestResultset(t *testing.T) {
	column := Column{Table: "t", Name: "n"}.Append(nil)
	if want := "\x03def\x00\x01t\x01t\x01n\x01n\x0c\x21\x00\x00\x00\x00\x00\xfd\x00\x00\x00\x00\x00"; string(column) != want {
		t.Errorf("column %q\nwant   %q", column, want)
	}
	number := Column{Name: "1", Type: TypeLongLong, Length: 20}.Append(nil)
	if want := "\x03def\x00\x00\x00\x011\x011\x0c\x3f\x00\x14\x00\x00\x00\x08\x00\x00\x00\x00\x00"; string(number) != want {
		t.Errorf("column %q\nwant   %q", number, want)
	}
	row := AppendTextRow(nil, [][]byte{[]byte("ab"), nil, {}})
	if want := "\x02ab\xfb\x00"; string(row) != want {
		t.Errorf("row %q, want %q", row, want)
	}
}

func TestNativePassword(t *testing.T) {
	scramble := []byte(sampleScramble)
	// The response is the one that both clients of the samples sent.
	want := "\x88\x17\xc5\x0f\xa7\x79\xda\xef\x01\x0e\xe7\x57\x78\x25\xb0\x84\x7d\xf9\x84\x2e"
	if got := NativeResponse(scramble, "secret"); string(got) != want {
		t.Errorf("response % x, want % x", got, want)
	}
	if !CheckNative([]byte(want), scramble, "secret") || !CheckNative(nil, scramble, "") {
		t.Error("a right response is refused")
	}
	if CheckNative([]byte(want), scramble, "Secret") || CheckNative(nil, scramble, "secret") || CheckNative([]byte(want), scramble, "") ||
		CheckNative([]byte(want)[:19], scramble, "secret") {
		t.Error("a wrong response is taken")
	}
}

func FuzzError(f *testing.F) {
	f.Add(payload(f, tooManyError))
	f.Add(payload(f, deniedError))
	f.Add([]byte("\xff\x10\x04#0800"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := exact(b)
		e, err := ParseError(in)
		scribble(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		caps := ClientProtocol41
		if e.State == "" {
			caps = 0
		}
		if out := e.Append(nil, caps); !bytes.Equal(out, b) {
			t.Fatalf("read from %q, written as %q", b, out)
		}
	})
}

func FuzzAuthSwitch(f *testing.F) {
	f.Add(payload(f, nativeSwitch))
	f.Add([]byte{0xfe})
	f.Add([]byte("\xfemysql_clear_password\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := exact(b)
		s, err := ParseAuthSwitch(in)
		scribble(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseAuthSwitch(exact(s.Append(nil)))
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Fatalf("read %+v\nwritten and read again %+v, %v", s, again, err)
		}
	})
}

func FuzzOK(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\x00"), uint32(ClientProtocol41))
	f.Add([]byte("\x00\x00\x00\x02\x40\x00\x00\x00\x01x"), uint32(ClientProtocol41|ClientSessionTrack))
	f.Add([]byte("\x00\xfc\x2c\x01\x07done"), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, caps uint32) {
		in := exact(b)
		ok, err := ParseOK(in, Capability(caps))
		scribble(in)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseOK(exact(ok.Append(nil, Capability(caps))), Capability(caps))
		if err != nil || !reflect.DeepEqual(again, ok) {
			t.Fatalf("read %+v\nwritten and read again %+v, %v", ok, again, err)
		}
	})
}
