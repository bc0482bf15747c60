package fakefe

import (
	"strings"
	"testing"

	"fairlead/internal/mysqlwire"
)

// TestPrepared runs statements through COM_STMT_PREPARE, as the driver does for arguments.
func TestPrepared(t *testing.T) {
	fe := start(t, Config{Name: "fe1"})
	db := open(t, "root@tcp("+fe.Address()+")/")
	for _, test := range []struct {
		statement string
		args      []any
		want      string
	}{
		{"select ?", []any{int64(-5)}, "-5"},
		{"select ?", []any{uint64(1<<64 - 1)}, "18446744073709551615"},
		{"select ?", []any{1.5}, "1.5"},
		{"select ?", []any{nil}, "NULL"},
		{"select ?", []any{"it's \\ a \"text\" with ? and \x00"}, "it's \\ a \"text\" with ? and \x00"},
		{"select repeat(?, ?)", []any{"ab", 3}, "ababab"},
		{"select sleep(?) as s", []any{0}, "1"},
		{"select '?', ?", nil, ""},
	} {
		if test.args == nil {
			if _, err := db.ExecContext(patiently(t), test.statement, "x", "y"); err == nil {
				t.Error("a question mark in a string counts as a parameter")
			}
			continue
		}
		if got := ask(t, db, test.statement, test.args...); got != test.want {
			t.Errorf("%s %q: %q, want %q", test.statement, test.args, got, test.want)
		}
	}
	stmt, err := db.PrepareContext(patiently(t), "select length(?), null, @@hostname")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "abc", strings.Repeat("x", 20<<20)} {
		var length int
		var none *string
		var host string
		if err := stmt.QueryRowContext(patiently(t), s).Scan(&length, &none, &host); err != nil || length != len(s) || none != nil || host != "fe1" {
			t.Errorf("%d bytes: %d, %v, %q, %v", len(s), length, none, host, err)
		}
	}
	if err := stmt.Close(); err != nil {
		t.Error(err)
	}
}

func TestMalformedExecute(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	c.command(mysqlwire.ComStmtPrepare, "select ?")
	for range 3 {
		c.must()
	}
	for _, body := range []string{
		"", "\x01\x00\x00\x00", "\x01\x00\x00\x00\x00\x01\x00\x00\x00", "\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01",
		"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00", // no types yet
		"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x08\x00\x01", "\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\xfd\x00\x05ab",
		"\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x0c\x00\x00", // a date
	} {
		c.command(mysqlwire.ComStmtExecute, body)
		c.refused(1210)
	}
	c.command(mysqlwire.ComStmtExecute, "\x09\x00\x00\x00\x00\x01\x00\x00\x00")
	c.refused(1243)
	c.command(0x7f, "")
	c.refused(1047)
	c.command(mysqlwire.ComProcessKill, "\x01")
	c.refused(1043)
	c.command(mysqlwire.ComPing, "")
	c.ok()
}
