package clients

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for text, want := range map[string]Step{
		`{"task":"login","step":"right","result":"app"}`:                                     {Task: "login", Step: "right", Result: "app"},
		`{"task":"login","step":"right","result":""}`:                                        {Task: "login", Step: "right"},
		`{"task":"login","step":"wrong","code":1045,"state":"28000","text":"Access denied"}`: {Task: "login", Step: "wrong", Failed: true, Code: 1045, State: "28000", Text: "Access denied"},
		`{"task":"infile","step":"missing file","code":0,"text":"no such file"}`:             {Task: "infile", Step: "missing file", Failed: true, Text: "no such file"},
		`{"task":"pool","step":"ready"}`:                                                     {Task: "pool", Step: "ready"},
		`{"task":"pool","step":"after","failed":2,"servers":["1","2"]}`:                      {Task: "pool", Step: "after", Lost: 2, Servers: []string{"1", "2"}},
	} {
		got, err := parseLine([]byte(text))
		if err != nil || got.String() != want.String() || got.Task != want.Task || got.Step != want.Step || got.Lost != want.Lost || !slices.Equal(got.Servers, want.Servers) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Segmentation fault", `{"task":"login"}`, `{"step":"right","result":""}`, `{"task":"login","step":"right"}`,
		`{"task":"login","step":"right","result":"x","code":1}`} {
		if got, err := parseLine([]byte(text)); err == nil {
			t.Errorf("%s is taken as %+v", text, got)
		}
	}
}

// TestCheck: the comparison finds what differs, what is wrong on both ways, and what is missing, and nothing else.
func TestCheck(t *testing.T) {
	task := Task{Name: "login", Wants: []Want{{Step: "right", Result: "app"}, {Step: "wrong", Code: 1045, Text: "denied"}}}
	right, wrong := Step{Task: "login", Step: "right", Result: "app"}, Step{Task: "login", Step: "wrong", Failed: true, Code: 1045, State: "28000", Text: "(conn=7) denied at 127.0.0.1:3306"}
	through := wrong
	through.Text = "(conn=8) denied at 127.0.0.1:9030"
	other := func(change func(*Step)) Step {
		s := through
		change(&s)
		return s
	}
	at, by := Server{Address: "127.0.0.1:3306"}, Server{Address: "127.0.0.1:9030"}
	for _, c := range []struct {
		name              string
		straight, through []Step
		want              string // a part of what is wrong; "" for nothing
	}{
		{"the same", []Step{right, wrong}, []Step{right, through}, ""},
		{"in another order", []Step{right, wrong}, []Step{through, right}, ""},
		{"a step is missing", []Step{right, wrong}, []Step{right}, "wrong: missing straight at the server: false, through fairlead: true"},
		{"of another task", []Step{right, wrong}, []Step{right, other(func(s *Step) { s.Task = "tls" })}, "missing"},
		{"another text", []Step{right, wrong}, []Step{right, other(func(s *Step) { s.Text = "denied" })}, "but through fairlead"},
		{"another state", []Step{right, wrong}, []Step{right, other(func(s *Step) { s.State = "HY000" })}, "but through fairlead"},
		{"another code", []Step{right, wrong}, []Step{right, other(func(s *Step) { s.Code = 1040 })}, "want error 1045"},
		{"no error", []Step{right, wrong}, []Step{right, other(func(s *Step) { s.Failed = false })}, "want error 1045"},
		{"wrong on both ways", []Step{{Task: "login", Step: "right", Failed: true, Code: 2002}, wrong}, []Step{{Task: "login", Step: "right", Failed: true, Code: 2002}, through}, `want "app"`},
	} {
		got := strings.Join(Client{}.Check(task, c.straight, at, c.through, by), "; ")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSurvived(t *testing.T) {
	ready, after := Step{Task: "pool", Step: "ready"}, Step{Task: "pool", Step: "after", Lost: 4, Servers: []string{"2"}}
	if cell, err := Survived([]Step{ready, after}, nil); cell != "ok" || err != nil {
		t.Errorf("%q, %v", cell, err)
	}
	for name, steps := range map[string][]Step{"it ended": {ready}, "too many lost": {ready, {Task: "pool", Step: "after", Lost: 5, Servers: []string{"2"}}},
		"no answer": {ready, {Task: "pool", Step: "after"}}, "a dead server answered": {ready, {Task: "pool", Step: "after", Servers: []string{"1", "2"}}}} {
		if cell, err := Survived(steps, nil); err == nil {
			t.Errorf("%s: %q", name, cell)
		}
	}
	if _, err := Survived([]Step{ready, after}, errors.New("it crashed")); err == nil {
		t.Error("a crash is ok")
	}
}

func TestTable(t *testing.T) {
	table := Table([]string{"login", "TLS"}, []Row{{"a", "1.0", []string{"ok", "ok"}}, {"b", "2.0", []string{"ok", "has none"}}})
	if want := "| client | version | login | TLS |\n|---|---|---|---|\n| a | 1.0 | ok | ok |\n| b | 2.0 | ok | has none |\n"; table != want {
		t.Errorf("the table is\n%s", table)
	}
	readme, err := ReplaceTable("before\n"+tableBegins+"old\n"+tableEnds+"after\n", table)
	if err != nil || readme != "before\n"+tableBegins+table+tableEnds+"after\n" {
		t.Fatalf("%q, %v", readme, err)
	}
	if _, err := ReplaceTable("no table", table); err == nil {
		t.Error("a table was put nowhere")
	}
	for have, want := range map[string]int{table: 0, strings.Replace(table, "1.0", "1.1", 1): 0, strings.Replace(table, "has none", "ok", 1): 1,
		table + "| c | 1 | ok | ok |\n": 1} {
		if got := Differences(readme, have); len(got) != want {
			t.Errorf("%s\ndiffers by %q", have, got)
		}
	}
}

// TestClientsAreWhole: each client can do each task, or says why not, and none says so of a task that there is not.
func TestClientsAreWhole(t *testing.T) {
	names := map[string]bool{}
	for _, c := range All() {
		if names[c.Name] {
			t.Errorf("%s is there twice", c.Name)
		}
		names[c.Name] = true
		for task, why := range c.Lacks {
			if task != PoolTask && !slices.Contains(Names(), task) || why == "" {
				t.Errorf("%s lacks %q because %q", c.Name, task, why)
			}
		}
		for task := range c.Wants {
			if !slices.Contains(Names(), task) {
				t.Errorf("%s wants something of %q", c.Name, task)
			}
		}
		if (c.Command == nil) == (c.drive == nil) || c.Package == "" {
			t.Errorf("%s has not one way to be run, or comes from nowhere", c.Name)
		}
	}
	c := Client{OwnCodes: true}
	if got := c.wants(Tasks[0]); got[2].Code != anyCode || Tasks[0].Wants[2].Code != 1045 || got[0].Code != 0 {
		t.Errorf("with own codes: %v, %v", got[2], Tasks[0].Wants[2])
	}
}
