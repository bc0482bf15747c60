package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead/metrics"
)

const (
	rulesPath     = "prometheus/fairlead.rules.yml"
	dashboardPath = "grafana/fairlead.json"
)

// TestRules: promtool takes the rules, and each alert fires when it should.
func TestRules(t *testing.T) {
	promtool := required(t, "promtool")
	output(t, promtool, "check", "rules", rulesPath)
	output(t, promtool, "test", "rules", "prometheus/fairlead.rules_test.yml")
	tests := read(t, "prometheus/fairlead.rules_test.yml")
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(read(t, rulesPath), -1) {
		if !strings.Contains(tests, `alertname="`+m[1]+`"`) {
			t.Errorf("no test lets %s fire", m[1])
		}
	}
}

// describedMetric reads what a Desc prints of itself, which is the only way to its name.
var describedMetric = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// known lists every metric of the metrics package with its labels.
func known(t *testing.T) map[string][]string {
	t.Helper()
	descs, all := make(chan *prometheus.Desc), map[string][]string{}
	go func() {
		defer close(descs)
		metrics.New(metrics.BuildInfo{}).Registry().Describe(descs)
	}()
	for d := range descs {
		m := describedMetric.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("%v can't be read", d)
		}
		labels := strings.Split(m[2], ",")
		if !strings.HasPrefix(m[1], "fairlead_") || !strings.HasSuffix(m[1], "_seconds") {
			all[m[1]] = labels
			continue
		}
		all[m[1]+"_sum"], all[m[1]+"_count"], all[m[1]+"_bucket"] = labels, labels, append(labels, "le") // a histogram
	}
	if all["fairlead_backend_state"] == nil || all["process_open_fds"] == nil {
		t.Fatalf("the metrics package seems to have only %v", all)
	}
	return all
}

// metricUse is a metric in an expression, with what stands in its braces.
var metricUse = regexp.MustCompile(`\b((?:fairlead|process|go)_\w+)(\{[^}]*\})?`)

// labelUse is a label in such braces.
var labelUse = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)

// checkUses finds metrics and labels that are not there.
func checkUses(t *testing.T, known map[string][]string, place, text string) (uses int) {
	t.Helper()
	for _, m := range metricUse.FindAllStringSubmatch(text, -1) {
		uses++
		labels, ok := known[m[1]]
		if !ok {
			t.Errorf("%s: there is no metric %s", place, m[1])
			continue
		}
		for _, l := range labelUse.FindAllStringSubmatch(m[2], -1) {
			if !strings.Contains(" job instance "+strings.Join(labels, " ")+" ", " "+l[1]+" ") {
				t.Errorf("%s: %s has no label %s", place, m[1], l[1])
			}
		}
	}
	return uses
}

// TestRulesNameMetrics: a metric that is renamed is missed here, and not by an alert that never fires.
func TestRulesNameMetrics(t *testing.T) {
	all := known(t)
	for _, path := range []string{rulesPath, "prometheus/fairlead.rules_test.yml"} {
		if checkUses(t, all, path, read(t, path)) < 10 {
			t.Errorf("%s: hardly a metric", path)
		}
	}
}

// dashboard is what is checked of Grafana's model.
type dashboard struct {
	Title         string
	UID           string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID      int
		Title   string
		Type    string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ RefID, Expr string }
	}
}

// TestDashboard: it is one, its panels don't overlap, its expressions can be read and name what there is.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, dashboardPath)), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || d.SchemaVersion == 0 || len(d.Panels) < 10 {
		t.Errorf("this is no dashboard: %+v", d)
	}
	all, used, ids, taken := known(t), map[string]bool{}, map[int]bool{}, map[string]string{}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		checkUses(t, all, "variable "+v.Name, strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ", " "))
	}
	var expressions []string
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: the number is taken, or the title missing", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				cell := fmt.Sprintf("%d,%d", x, y)
				if taken[cell] != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beyond the edge", p.Title, taken[cell])
				}
				taken[cell] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			for _, m := range metricUse.FindAllStringSubmatch(target.Expr, -1) {
				used[m[1]] = true
			}
			checkUses(t, all, p.Title, target.Expr)
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[v[1]] {
					t.Errorf("%q: there is no variable %s", p.Title, v[1])
				}
			}
			expressions = append(expressions, target.Expr)
		}
	}
	checkExpressions(t, expressions)
	for name := range all {
		if strings.HasPrefix(name, "fairlead_") && !regexp.MustCompile(`_(sum|count)$`).MatchString(name) && !used[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// checkExpressions lets promtool read expressions as rules, where there is one.
func checkExpressions(t *testing.T, expressions []string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("without promtool the expressions are not parsed")
		return
	}
	var rules []any
	for i, e := range expressions {
		e = strings.NewReplacer("$__rate_interval", "1m", "$job", "fairlead", "$instance", ".*", "$pool", ".*").Replace(e)
		rules = append(rules, map[string]any{"record": fmt.Sprintf("x:%d", i), "expr": e})
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "x", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(path, text, 0o600); err != nil { // JSON is YAML too
		t.Fatal(err)
	}
	output(t, promtool, "check", "rules", path)
}
