package fakefe

import (
	"database/sql"
	"errors"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// list asks an FE for SHOW FRONTENDS: a map from column to value for each row, and the columns.
func list(t *testing.T, fe *FE) ([]map[string]string, string) {
	t.Helper()
	db := open(t, "root@tcp("+fe.Address()+")/")
	defer db.Close()
	rows, err := db.QueryContext(patiently(t), "SHOW  frontends;")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for rows.Next() {
		values, targets := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		row := make(map[string]string)
		for i, name := range columns {
			row[name] = values[i].String
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all, strings.Join(columns, " ")
}

// summary is the name, role and aliveness of each row.
func summary(rows []map[string]string) string {
	var parts []string
	for _, row := range rows {
		parts = append(parts, row["Name"]+" "+row["Role"]+" "+row["Alive"])
	}
	return strings.Join(parts, ", ")
}

func port(t *testing.T, address string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFrontendsAlone(t *testing.T) {
	fe := start(t, Config{Name: "solo", Role: Observer})
	rows, columns := list(t, fe)
	if want := "Id Name IP EditLogPort HttpPort QueryPort RpcPort Role ClusterId Join Alive ReplayedJournalId LastHeartbeat IsHelper ErrMsg " +
		"StartTime Version"; columns != want {
		t.Errorf("columns %s\nwant    %s", columns, want)
	}
	if summary(rows) != "solo OBSERVER true" || rows[0]["IP"] != "127.0.0.1" || rows[0]["QueryPort"] != port(t, fe.Address()) ||
		rows[0]["HttpPort"] != port(t, fe.HTTPAddress()) {
		t.Errorf("rows %v", rows)
	}

	fe.SetFrontends(func() []Frontend {
		return []Frontend{{ID: 7, Name: "n", Host: "fe.example", QueryPort: 9030, Role: Follower}, {Name: "m", Alive: true, Role: Leader}}
	})
	rows, _ = list(t, fe)
	if summary(rows) != "n FOLLOWER false, m LEADER true" || rows[0]["StartTime"] != "NULL" || rows[0]["Version"] != "NULL" || rows[0]["Id"] != "7" {
		t.Errorf("rows %v", rows)
	}
	fe.SetFrontends(nil)
	if rows, _ = list(t, fe); summary(rows) != "solo OBSERVER true" {
		t.Errorf("rows %v", rows)
	}
}

func TestDorisFrontends(t *testing.T) {
	c, err := StartCluster(2, Config{Flavour: Doris})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	rows, columns := list(t, c.Members()[1])
	if want := "Name Host EditLogPort HttpPort QueryPort RpcPort ArrowFlightSqlPort Role IsMaster ClusterId Join Alive ReplayedJournalId " +
		"LastStartTime LastHeartbeat IsHelper ErrMsg Version CurrentConnected"; columns != want {
		t.Errorf("columns %s\nwant    %s", columns, want)
	}
	if summary(rows) != "fe1 FOLLOWER true, fe2 FOLLOWER true" || rows[0]["IsMaster"] != "true" || rows[1]["IsMaster"] != "false" ||
		rows[0]["CurrentConnected"] != "No" || rows[1]["CurrentConnected"] != "Yes" {
		t.Errorf("rows %v", rows)
	}
}

func TestCluster(t *testing.T) {
	before := runtime.NumGoroutine()
	c, err := StartCluster(4, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		c.Stop()
		awaitGoroutines(t, before)
	}()
	members := c.Members()
	ports := make(map[string]bool)
	rows, _ := list(t, members[2])
	if got := summary(rows); got != "fe1 LEADER true, fe2 FOLLOWER true, fe3 FOLLOWER true, fe4 OBSERVER true" {
		t.Errorf("rows %s", got)
	}
	for i, row := range rows {
		ports[row["QueryPort"]] = true
		if row["QueryPort"] != port(t, members[i].Address()) || row["HttpPort"] != port(t, members[2].HTTPAddress()) || row["Id"] != strconv.Itoa(i+1) {
			t.Errorf("row %d: %v", i, row)
		}
		db := open(t, "root@tcp("+members[i].Address()+")/")
		if id, _ := strconv.Atoi(ask(t, db, "select connection_id()")); id>>24 != i+1 {
			t.Errorf("connection id %d of fe%d", id, i+1)
		}
		if host := ask(t, db, "select @@hostname"); host != row["Name"] {
			t.Errorf("%s calls itself %s", row["Name"], host)
		}
		db.Close()
	}
	if len(ports) != 4 {
		t.Errorf("ports %v", ports)
	}

	for i, want := range []bool{true, false, false, false} {
		_, body := get(t, members[i], "/metrics")
		if got := strings.Contains(body, "\nnode_info{type=\"is_master\"} 1\n"); got != want {
			t.Errorf("fe%d leads by its metrics: %t", i+1, got)
		}
	}
	if err := c.MoveLeader(members[1]); err != nil || c.Leader() != members[1] {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true} {
		_, body := get(t, members[i], "/metrics")
		if got := strings.Contains(body, "\nnode_info{type=\"is_master\"} 1\n"); got != want {
			t.Errorf("after the election fe%d leads by its metrics: %t", i+1, got)
		}
	}

	set(t, members[0], Kill)
	if err := c.Remove(members[3]); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, members[3].Address())
	added, err := c.Add(Observer)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ = list(t, members[1])
	if got := summary(rows); got != "fe1 FOLLOWER false, fe2 LEADER true, fe3 FOLLOWER true, fe5 OBSERVER true" || rows[0]["StartTime"] != "NULL" {
		t.Errorf("rows %s", got)
	}
	if err := c.Remove(members[3]); !errors.Is(err, ErrNotMember) {
		t.Errorf("removing it again: %v", err)
	}
	if err := c.MoveLeader(members[3]); !errors.Is(err, ErrNotMember) {
		t.Errorf("electing a stranger: %v", err)
	}
	set(t, members[0], None)
	if rows, _ = list(t, added); summary(rows) != "fe1 FOLLOWER true, fe2 LEADER true, fe3 FOLLOWER true, fe5 OBSERVER true" {
		t.Errorf("rows %s", summary(rows))
	}
	leader, err := c.Add(Leader)
	if err != nil || c.Leader() != leader || members[1].Role() != Follower {
		t.Errorf("a new leader: %v", err)
	}
	if err := c.Drop(added); err != nil {
		t.Fatal(err)
	}
	defer added.Stop()
	if rows, _ = list(t, added); summary(rows) != "fe1 FOLLOWER true, fe2 FOLLOWER true, fe3 FOLLOWER true, fe6 LEADER true" {
		t.Errorf("one that was dropped runs on, and lists %s", summary(rows))
	}
	if err := c.Drop(added); !errors.Is(err, ErrNotMember) {
		t.Errorf("dropping it again: %v", err)
	}
	c.Stop()
	if _, err := c.Add(Observer); !errors.Is(err, ErrStopped) {
		t.Errorf("Add after Stop: %v", err)
	}
}
