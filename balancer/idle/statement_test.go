package idle

import (
	"strings"
	"testing"
)

func TestEffectOf(t *testing.T) {
	for text, want := range map[string]effect{
		"":                                    blank,
		" \n":                                 blank,
		"-- a comment":                        blank, // and it has no end, which matters only where more follows
		"select 1":                            nothing,
		"SELECT 'begin'":                      nothing,
		"insert into t values (1)":            nothing,
		"begin":                               opens,
		"BEGIN WORK":                          opens,
		"\t(bEgIn":                            opens,
		"/* app=x */ begin":                   opens,
		"-- x\n# y\nbegin":                    opens,
		"/*! begin */":                        opens,
		"/*!50000 start transaction */":       opens,
		"/*M!100100 begin */":                 opens,
		"begin with label x":                  opens,
		"beginning":                           nothing,
		"start transaction":                   opens,
		"START TRANSACTION READ ONLY":         opens,
		"lock tables t write":                 opens,
		"flush tables with read lock":         opens,
		"flush privileges":                    nothing,
		"xa start 'x'":                        doubts,
		"commit":                              closes,
		"Commit Work":                         closes,
		"commit /* x */":                      closes,
		"commit and chain":                    opens,
		"commit and no chain":                 opens, // to be on the safe side
		"rollback":                            closes,
		"rollback to savepoint a":             opens,
		"ROLLBACK WORK TO a":                  opens,
		"/*!99999 commit */":                  opens,
		"set autocommit=0":                    manual,
		"SET AUTOCOMMIT = 0":                  manual,
		"set @@autocommit := off":             manual,
		"set session autocommit='OFF'":        manual,
		"SET @@session.autocommit=false, a=1": manual,
		"set autocommit=1":                    automatic,
		"SET character_set_results = NULL, autocommit=1, sql_mode='x'": automatic,
		"set autocommit=on":                            automatic,
		"set autocommit=default":                       doubts,
		"set autocommit=10":                            doubts,
		"set autocommit=@x":                            doubts,
		"set @old=@@autocommit, autocommit=0":          doubts,
		"set global autocommit=1":                      doubts,
		"set completion_type=1":                        doubts,
		"set names utf8mb4":                            blank,
		"set transaction isolation level serializable": blank,
		"{call x}":                                     nothing,
		"call x()":                                     nothing,
	} {
		if got := effectOf([]byte(text), true); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]effect{ // and more, which is not there yet
		"":                opens,
		"sel":             opens,
		"BEG":             opens,
		"select ":         nothing,
		"insert into t ":  nothing,
		"/* a long":       opens,
		"set a=1, autoc":  opens,
		"commit ":         opens,
		"set autocommit=": opens,
	} {
		if got := effectOf([]byte(text), false); got != want {
			t.Errorf("%q and more: %d, want %d", text, got, want)
		}
	}
}

// TestStatements: of several statements in one text each may begin a transaction, and only the first may end one.
func TestStatements(t *testing.T) {
	for text, want := range map[string]flags{
		"select 1; select 2":                  0,
		"select 1;":                           0,
		"select 1; begin":                     open,
		"select 1;begin;commit":               open,
		"begin; commit":                       open,
		"commit; select 1":                    0,
		"insert into t values ('; begin')":    open, // there is none, but it may look so
		"insert into t values (';'), (';b')":  0,
		"set autocommit=0; select 1":          manualText | open,
		"select 1; set autocommit=0":          manualText,
		"set names x; set autocommit=1":       0,
		"select 1; /* x */ start transaction": open,
	} {
		s := Tracker{flags: following}
		s.statements([]byte(text), true)
		if got := s.flags &^ following; got != want {
			t.Errorf("%q: %b, want %b", text, got, want)
		}
	}
	s := Tracker{flags: following | open}
	if s.statements([]byte("commit"), true); s.is(open) {
		t.Error("a COMMIT ends nothing")
	}
	long := []byte(strings.Repeat("x", 1000))
	if n := testing.AllocsPerRun(100, func() { s.statements(long, true) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
