package fakefe

import (
	"bytes"
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

func TestStatements(t *testing.T) {
	fe := start(t, Config{Name: "fe-a", Number: 1})
	db := open(t, "root@tcp("+fe.Address()+")/sales")
	db.SetMaxOpenConns(1)
	for statement, want := range map[string]string{
		"select 1":            "1",
		"SELECT 1;":           "1",
		"  Select\n\t-1 ; ; ": "-1",
		"select 1.5 as v":     "1.5",
		"select 'it''s \\'x\\' \\\\ \\n' limit 1": "it's 'x' \\ \n",
		`select "a""b"`:                           `a"b`,
		"select null from dual":                   "NULL",
		"select true":                             "1",
		"select @@hostname":                       "fe-a",
		"select  @@HostName ;":                    "fe-a",
		"SELECT @@global.hostname AS `h`":         "fe-a",
		"select @@session.max_allowed_packet":     "268435456",
		"select @@version_comment limit 1":        "StarRocks version (stand-in)",
		"/* app 1.0 */ select /* v */ version()":  "8.0.33",
		"select connection_id() -- mine\n":        "16777217",
		"select database()":                       "sales",
		"select SCHEMA ( )":                       "sales",
		"select current_user":                     "'root'@'127.0.0.1'",
		"select repeat('ab', 3)":                  "ababab",
		"select repeat('ab', -3)":                 "",
		"select length(repeat('ab', 1000000000))": "2000000000",
		"select md5('abc')":                       "900150983cd24fb0d6963f7d28e17f72",
		"select sleep(0)":                         "1",
		"select sleep(0.001)":                     "1",
		"select @user":                            "NULL",
		"show variables like 'host%'":             "",
		"show session variables where variable_name = 'hostname' or Variable_name = 'x'": "",
	} {
		if strings.HasPrefix(statement, "show") {
			var name, v string
			if err := db.QueryRowContext(patiently(t), statement).Scan(&name, &v); err != nil || name != "hostname" || v != "fe-a" {
				t.Errorf("%s: %q, %q, %v", statement, name, v, err)
			}
			continue
		}
		if got := ask(t, db, statement); got != want {
			t.Errorf("%s: %q, want %q", statement, got, want)
		}
	}
	for _, statement := range []string{
		"set names utf8mb4", "SET @@session.autocommit = OFF", "begin", "start transaction", "commit;", "rollback", "/*!40101 SET x */",
	} {
		if _, err := db.ExecContext(patiently(t), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if _, err := db.ExecContext(patiently(t), "use `other`"); err != nil || ask(t, db, "select database()") != "other" {
		t.Errorf("use: %v", err)
	}
}

func TestStatementErrors(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/")
	db.SetMaxOpenConns(1)
	for statement, code := range map[string]uint16{
		"":                         1065,
		" ; ":                      1065,
		"insert into t values (1)": 1064,
		"select":                   1064,
		"select 1 from t":          1064,
		"select 1,":                1064,
		"select (1)":               1064,
		"select 1 as":              1064,
		"select -'a'":              1064,
		"select a":                 1054,
		"select @@no_such":         1193,
		"select f(1)":              1064,
		"select f()":               1064,
		"select sleep()":           1064,
		"select sleep('x')":        1064,
		"select sleep(-1)":         1064,
		"select sleep(1e30)":       1064,
		"select length(1":          1064,
		"select length(1 2)":       1064,
		"select " + strings.Repeat("length(", 1000): 1064,
		"select repeat('x')":                        1064,
		"select repeat('x', 'y')":                   1064,
		"select repeat('xy', 999999999999)":         1301,
		"select repeat('x', 9223372036854775807)":   1301,
		"select 'unfinished":                        0,
		"show":                                      1064,
		"show nothing":                              1064,
		"use":                                       1064,
		"kill 12345":                                1094,
		"kill x":                                    1094,
		"kill":                                      1064,
	} {
		_, err := db.ExecContext(patiently(t), statement)
		var refused *mysql.MySQLError
		if code == 0 {
			if err != nil {
				t.Errorf("%q: %v", statement, err)
			}
			continue
		}
		if !errors.As(err, &refused) || refused.Number != code {
			t.Errorf("%q: %v, want error %d", statement, err, code)
		}
	}
	if n := fe.Counts().Accepted; n != 1 {
		t.Errorf("%d connections: errors end the session", n)
	}
}

// TestConnectorJ asks what MySQL Connector/J 8 asks after each login.
func TestConnectorJ(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/")
	rows, err := db.QueryContext(patiently(t), "/* mysql-connector-java-8.0.33 (Revision: 7d6b0800528b6b25c68b52dc10d6c1c8429c100c) */"+
		"SELECT  @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, "+
		"@@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, "+
		"@@character_set_server AS character_set_server, @@collation_server AS collation_server, "+
		"@@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, "+
		"@@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, "+
		"@@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@query_cache_size AS query_cache_size, "+
		"@@query_cache_type AS query_cache_type, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, "+
		"@@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if columns, err := rows.Columns(); err != nil || len(columns) != 21 || columns[20] != "wait_timeout" || !rows.Next() {
		t.Errorf("columns %q, %v", columns, err)
	}
}

func TestShow(t *testing.T) {
	fe := start(t, Config{Name: "fe1"})
	db := open(t, "root@tcp("+fe.Address()+")/")
	for statement, columns := range map[string][]string{
		"show databases":                          {"Database"},
		"SHOW SCHEMAS;":                           {"Database"},
		"show tables":                             {"Tables_in_"},
		"show full processlist":                   {"Id", "User", "Host", "Db", "Command", "State"},
		"show global status":                      {"Variable_name", "Value"},
		"show warnings":                           {"Level", "Code", "Message"},
		"show variables":                          {"Variable_name", "Value"},
		"select 1 one, 2 as two, connection_id()": {"one", "two", "connection_id()"},
	} {
		rows, err := db.QueryContext(patiently(t), statement)
		if err != nil {
			t.Errorf("%s: %v", statement, err)
			continue
		}
		if got, err := rows.Columns(); err != nil || !slices.Equal(got, columns) {
			t.Errorf("%s: columns %q, %v; want %q", statement, got, err, columns)
		}
		rows.Close()
	}
}

// TestLargeResults asks for rows on both sides of a packet's limit: a value has its length before it, in 4 bytes up to 16 MB.
func TestLargeResults(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/")
	const full = mysqlwire.MaxPayload - 4
	for _, n := range []int{0, 1, 250, 251, 1<<16 - 1, 1 << 16, full - 1, full, full + 1, 2*mysqlwire.MaxPayload - 9} {
		var got sql.RawBytes
		rows, err := db.QueryContext(patiently(t), fmt.Sprintf("select repeat('x', %d)", n))
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() || rows.Scan(&got) != nil || len(got) != n || bytes.Count(got, []byte("x")) != n {
			t.Errorf("%d bytes asked for, %d came, %v", n, len(got), rows.Err())
		}
		rows.Close()
	}
	// The pieces in which a value is made must join.
	var got []byte
	var tail string
	err := db.QueryRowContext(patiently(t), "select repeat('0123456', 3000000), 'tail'").Scan(&got, &tail)
	if err != nil || !bytes.Equal(got, bytes.Repeat([]byte("0123456"), 3000000)) || tail != "tail" {
		t.Errorf("%d bytes, tail %q, %v", len(got), tail, err)
	}
	if n := fe.Counts().Accepted; n != 1 {
		t.Errorf("%d connections: large results break the session", n)
	}
}

func TestLargeStatement(t *testing.T) {
	fe := start(t, Config{})
	db := open(t, "root@tcp("+fe.Address()+")/?maxAllowedPacket=0")
	const frame = len("\x03select md5('')")
	for _, n := range []int{mysqlwire.MaxPayload - frame - 1, mysqlwire.MaxPayload - frame, mysqlwire.MaxPayload - frame + 1, 33 << 20} {
		s := strings.Repeat("statement ", n/10+1)[:n]
		sum := md5.Sum([]byte(s))
		if got := ask(t, db, "select md5('"+s+"')"); got != hex.EncodeToString(sum[:]) {
			t.Errorf("a statement with a string of %d bytes did not arrive whole", n)
		}
	}
}

func TestSleepEndsWithItsClient(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	c.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)
	c.conn.CloseWrite()
	if n := c.ended(); n != 0 {
		t.Errorf("%d bytes after the client's end", n)
	}
	await(t, fe, "the end", empty)

	// The driver closes its connection when the context ends.
	db := open(t, "root@tcp("+fe.Address()+")/")
	ctx, cancel := context.WithCancel(patiently(t))
	failed := make(chan error)
	go func() {
		_, err := db.ExecContext(ctx, "select sleep(3600)")
		failed <- err
	}()
	await(t, fe, "the sleep", busy)
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the driver returns %v", err)
	}
	await(t, fe, "the end", empty)
}

// TestCommandDuringSleep sends the next command before the answer: it must not be lost.
func TestCommandDuringSleep(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	c.command(mysqlwire.ComQuery, "select sleep(0.01)")
	c.command(mysqlwire.ComPing, "")
	for range 5 { // count, column, EOF, row, EOF
		c.must()
	}
	c.ok()
}

func TestKill(t *testing.T) {
	fe := start(t, Config{Number: 5})
	killer, victim := enter(t, fe), enter(t, fe)
	victim.command(mysqlwire.ComQuery, "select sleep(3600)")
	await(t, fe, "the sleep", busy)

	killer.command(mysqlwire.ComQuery, fmt.Sprintf("KILL QUERY %d", victim.greeting.ConnectionID))
	killer.ok()
	victim.refused(1317)
	victim.command(mysqlwire.ComPing, "")
	victim.ok()

	// A KILL QUERY between statements hits none.
	killer.command(mysqlwire.ComQuery, fmt.Sprintf("kill query %d", victim.greeting.ConnectionID))
	killer.ok()
	victim.command(mysqlwire.ComQuery, "select sleep(0.001)")
	for range 5 {
		if p := victim.must(); p[0] == 0xff {
			t.Fatalf("%q", p)
		}
	}

	killer.command(mysqlwire.ComQuery, fmt.Sprintf("kill %d;", victim.greeting.ConnectionID))
	killer.ok()
	victim.ended()
	id := killer.greeting.ConnectionID
	killer.command(mysqlwire.ComProcessKill, string([]byte{byte(id), byte(id >> 8), byte(id >> 16), byte(id >> 24)}))
	killer.ended()
	await(t, fe, "the end", empty)
}

// TestKillBeforeTheStatementBegins: once the table says that a session is busy, a KILL QUERY ends its statement, even if it
// comes before the session has looked at it.
func TestKillBeforeTheStatementBegins(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	fe.mu.Lock()
	s := fe.mu.sessions[c.greeting.ConnectionID]
	fe.mu.Unlock()

	s.enter(Busy)
	fe.kill(s.id, true)
	s.beginStatement("select sleep(3600)")
	if n := len(s.killed); n != 1 {
		t.Fatal("the statement does not hear of a KILL QUERY that came before it began")
	}
	s.enter(Idle)
	s.enter(Busy)
	if n := len(s.killed); n != 0 {
		t.Error("a KILL QUERY that came too late for one statement hits the next one")
	}
	s.enter(Idle)
}

func TestOtherCommands(t *testing.T) {
	fe := start(t, Config{})
	c := enter(t, fe)
	c.command(mysqlwire.ComInitDB, "sales")
	c.ok()
	c.command(mysqlwire.ComQuery, "show processlist")
	var last []byte
	for range 9 { // count, six columns, EOF, row
		last = c.must()
	}
	if want := "\x011\x04root\x0f127.0.0.1:"; !strings.HasPrefix(string(last), want[:6]) || !strings.Contains(string(last), "\x05sales\x05Query") {
		t.Errorf("row %q", last)
	}
	c.must()
	c.command(mysqlwire.ComFieldList, "t\x00%")
	if p := c.must(); !mysqlwire.IsEOF(p) {
		t.Errorf("COM_FIELD_LIST gives %q", p)
	}
	c.command(mysqlwire.ComStatistics, "")
	if p := c.must(); !strings.HasPrefix(string(p), "Uptime:") {
		t.Errorf("COM_STATISTICS gives %q", p)
	}
	c.command(mysqlwire.ComQuit, "")
	if n := c.ended(); n != 0 {
		t.Errorf("%d bytes after COM_QUIT", n)
	}
}

func FuzzStatement(f *testing.F) {
	for _, s := range []string{
		"select 1", "select 'a''b' as x, @@hostname limit 1;", "show variables like 'a%'", "kill query 7", "/* c */ select -1 -- end",
		"select repeat('x', 9), md5(length(\"y\"))", "select @@session.`x`", "set @a = 1", "select 'unfinished \\",
	} {
		f.Add(s)
	}
	fe, err := Start(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(fe.Stop)
	f.Fuzz(func(t *testing.T, statement string) {
		end := 0
		for _, token := range tokens(statement) {
			if token.start < end || token.end <= token.start || token.end > len(statement) {
				t.Fatalf("token %+v after offset %d of %q", token, end, statement)
			}
			end = token.end
		}
		if once := canonical(statement); !strings.ContainsAny(statement, "'\"`@") && canonical(once) != once {
			t.Fatalf("%q becomes %q, and that %q", statement, once, canonical(once))
		}
		if strings.Contains(strings.ToLower(statement), "sleep") {
			return
		}
		s := &session{fe: fe}
		r, err := s.evaluate(statement)
		var refused *mysqlwire.ServerError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%q ends the session: %v", statement, err)
		}
		if r != nil && len(r.rows) > 0 && len(r.rows[0]) != len(r.columns) {
			t.Fatalf("%q: %d values for %d columns", statement, len(r.rows[0]), len(r.columns))
		}
	})
}
