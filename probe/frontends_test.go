package probe

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Columns as the sources have them (FrontendsProcNode.java).
var (
	starRocksOld = []string{"Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "IsMaster", "ClusterId",
		"Join", "Alive", "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version"}
	starRocksNew = []string{"Id", "Name", "IP", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "ClusterId", "Join",
		"Alive", "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "StartTime", "Version"}
	dorisOld = []string{"Name", "IP", "HostName", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "Role", "IsMaster", "ClusterId",
		"Join", "Alive", "ReplayedJournalId", "LastHeartbeat", "IsHelper", "ErrMsg", "Version"}
	dorisNew = []string{"Name", "Host", "EditLogPort", "HttpPort", "QueryPort", "RpcPort", "ArrowFlightSqlPort", "Role", "IsMaster",
		"ClusterId", "Join", "Alive", "ReplayedJournalId", "LastStartTime", "LastHeartbeat", "IsHelper", "ErrMsg", "Version", "CurrentConnected"}
)

func TestParseFrontends(t *testing.T) {
	for name, test := range map[string]struct {
		columns []string
		rows    [][]string
		want    []Frontend
	}{
		"StarRocks": {starRocksNew, [][]string{
			{"1", "fe1_9010", "10.0.0.1", "9010", "8030", "9030", "9020", "LEADER", "7", "true", "true", "9", "2025-01-01 00:00:00", "true", "", "2025-01-01 00:00:00", "3.3.5-6d81f75"},
			{"2", "fe2_9010", "fe2.example", "9010", "8030", "9031", "9020", "FOLLOWER", "7", "true", "false", "9", "NULL", "true", "timeout", "NULL", "NULL"},
			{"3", "fe3_9010", "2001:db8::3", "9010", "8030", "0", "0", "OBSERVER", "7", "false", "false", "0", "", "false", "", "", ""},
		}, []Frontend{
			{"fe1_9010", "10.0.0.1", 9030, 8030, RoleLeader, true, "3.3.5-6d81f75"},
			{"fe2_9010", "fe2.example", 9031, 8030, RoleFollower, false, ""},
			{"fe3_9010", "2001:db8::3", 0, 8030, RoleObserver, false, ""},
		}},
		"StarRocks 2": {starRocksOld, [][]string{
			{"fe1", "10.0.0.1", "9010", "8030", "9030", "9020", "FOLLOWER", "true", "7", "true", "true", "9", "", "true", "", "NULL", "2.3.0"},
		}, []Frontend{{"fe1", "10.0.0.1", 9030, 8030, RoleLeader, true, "2.3.0"}}},
		"Doris 1": {dorisOld, [][]string{
			{"fe1", "", "fe1.example", "9010", "8030", "9030", "9020", "FOLLOWER", "false", "7", "true", "true", "9", "", "true", "", "doris-1.2.4"},
			{"fe2", "10.0.0.2", "fe2.example", "9010", "8030", "-1", "-1", "UNKNOWN", "false", "7", "true", "TRUE", "9", "", "true", "", "NULL"},
		}, []Frontend{
			{"fe1", "fe1.example", 9030, 8030, RoleFollower, true, "doris-1.2.4"},
			{"fe2", "10.0.0.2", 0, 8030, "", true, ""},
		}},
		"Doris": {dorisNew, [][]string{
			{"fe_a", "10.0.0.1", "9010", "8030", "9030", "9020", "8070", "FOLLOWER", "true", "7", "true", "true", "9", "", "", "true", "", "doris-2.1.7-rc03", "Yes"},
			{"fe\x1b", "10.0.0.2", "9010", "8030", "9030", "9020", "8070", "OBSERVER", "false", "7", "true", "true", "9", "", "", "true", "", "", "No"},
		}, []Frontend{
			{"fe_a", "10.0.0.1", 9030, 8030, RoleLeader, true, "doris-2.1.7-rc03"},
			{`fe\x1b`, "10.0.0.2", 9030, 8030, RoleObserver, true, ""},
		}},
		"few columns": {[]string{"queryport", "HOST"}, [][]string{{"9030", "fe1"}}, []Frontend{{"", "fe1", 9030, 0, "", true, ""}}},
		"no rows":     {dorisNew, nil, []Frontend{}},
	} {
		got, err := ParseFrontends(test.columns, test.rows)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestParseFrontendsRefuses(t *testing.T) {
	for _, test := range []struct {
		columns []string
		row     []string
		want    string
	}{
		{[]string{"Host"}, []string{"fe1"}, "no column Host, IP or HostName, or no QueryPort"},
		{[]string{"QueryPort"}, []string{"9030"}, "no column Host, IP or HostName, or no QueryPort"},
		{[]string{"IP", "QueryPort"}, []string{"fe1"}, "row 1 has 1 columns, not 2"},
		{[]string{"IP", "QueryPort"}, []string{"NULL", "9030"}, `row 1: host ""`},
		{[]string{"IP", "QueryPort"}, []string{"fe1; rm", "9030"}, `row 1: host "fe1; rm"`},
		{[]string{"IP", "QueryPort"}, []string{"-fe1", "9030"}, `row 1: host "-fe1"`},
		{[]string{"IP", "QueryPort"}, []string{"fe1:9030", "9030"}, `row 1: host "fe1:9030"`},
		{[]string{"IP", "QueryPort"}, []string{strings.Repeat("x", 254), "9030"}, "row 1: host"},
		{[]string{"IP", "QueryPort"}, []string{"fe1", "65536"}, `row 1: QueryPort "65536" is no port`},
		{[]string{"IP", "QueryPort"}, []string{"fe1", "0x10"}, `row 1: QueryPort "0x10" is no port`},
		{[]string{"IP", "QueryPort", "HttpPort"}, []string{"fe1", "1", "-2"}, `row 1: HttpPort "-2" is no port`},
	} {
		_, err := ParseFrontends(test.columns, [][]string{test.row})
		if !errors.Is(err, ErrFrontends) || !strings.HasPrefix(err.Error(), "probe: not a list of front ends: "+test.want) {
			t.Errorf("%v %v: %v", test.columns, test.row, err)
		}
	}
}

func TestReadFrontends(t *testing.T) {
	t.Parallel()
	c, f := deep(t), newFrontend()
	row := []string{"1", "fe1", "10.0.0.1", "9010", "8030", "9030", "9020", "LEADER", "7", "true", "true", "9", "\x00", "true", "", "NULL", "\x00"}
	f.answer = table(starRocksNew, row)
	seed := at(closedPort(t), serve(t, f.handle))
	got, err := ReadFrontends(t.Context(), c, seed)
	want := []Frontend{{"fe1", "10.0.0.1", 9030, 8030, RoleLeader, true, ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if query := <-f.queries; query != "SHOW FRONTENDS" {
		t.Errorf("asked %q", query)
	}

	many := make([][]string, maxFrontends+1)
	for i := range many {
		many[i] = []string{"fe", "9030"}
	}
	for name, test := range map[string]struct {
		answer func(string) [][]byte
		want   string
	}{
		"empty":    {table(starRocksNew), "0 rows"},
		"too many": {table([]string{"Host", "QueryPort"}, many...), "1001 rows"},
		"denied":   {raw(refusal(1227, "42000", "Access denied; you need OPERATE")), `query: "SHOW FRONTENDS" failed: error 1227 (42000)`},
		"strange":  {one("1"), "no column Host"},
		"cut":      {func(string) [][]byte { return [][]byte{{1}, {0xfe}} }, "query: "},
	} {
		f := newFrontend()
		f.answer = test.answer
		if got, err := ReadFrontends(t.Context(), c, at(serve(t, f.handle))); err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.HasPrefix(err.Error(), "probe: ") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ReadFrontends(t.Context(), c, at(closedPort(t))); err == nil || !strings.HasPrefix(err.Error(), "probe: connect: ") {
		t.Errorf("closed port: %v", err)
	}
	c.Timeout = time.Second
	if _, err := ReadFrontends(t.Context(), c, at(serve(t, says(starRocks().Append(nil))))); err == nil ||
		err.Error() != "probe: login: no answer within 1s" {
		t.Errorf("silent: %v", err)
	}
}

// FuzzFrontends takes columns and rows as lines of fields parted by commas; what is read and written again reads the
// same.
func FuzzFrontends(f *testing.F) {
	for _, columns := range [][]string{starRocksNew, starRocksOld, dorisNew, dorisOld} {
		f.Add(strings.Join(columns, ","), strings.Repeat("10,", len(columns)-1)+"10")
	}
	f.Add("Host,QueryPort,Role", "fe1,9030,LEADER\nNULL,0,x")
	f.Fuzz(func(t *testing.T, columns, lines string) {
		var rows [][]string
		for line := range strings.SplitSeq(lines, "\n") {
			rows = append(rows, strings.Split(line, ","))
		}
		got, err := ParseFrontends(strings.Split(columns, ","), rows)
		if err != nil {
			if got != nil || !errors.Is(err, ErrFrontends) {
				t.Fatalf("%v, %v", got, err)
			}
			return
		}
		if len(got) != len(rows) {
			t.Fatalf("%d front ends of %d rows", len(got), len(rows))
		}
		var again [][]string
		for _, fe := range got {
			if !plausibleHost(fe.Host) || !utf8.ValidString(fe.Name+fe.Version) || strings.ContainsAny(fe.Name+fe.Version, "\x00\n\x1b") {
				t.Fatalf("%+v", fe)
			}
			again = append(again, []string{"", fe.Host, strconv.Itoa(int(fe.QueryPort)), strconv.Itoa(int(fe.HTTPPort)),
				fe.Role, strconv.FormatBool(fe.Alive), ""})
		}
		same, err := ParseFrontends([]string{"Name", "Host", "QueryPort", "HttpPort", "Role", "Alive", "Version"}, again)
		for i := range got {
			got[i].Name, got[i].Version = "", ""
		}
		if err != nil || !slices.Equal(same, got) {
			t.Fatalf("%+v reads again as %+v: %v", got, same, err)
		}
	})
}
