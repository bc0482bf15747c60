package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const examplePath = "../../config.toml.example"

// exampleLine is a key of the example, or one that is commented out: "#key" is a key, "# key" is prose.
var exampleLine = regexp.MustCompile(`^\s*(#?)([a-z_]+) = (.*)$`)

// TestExampleNamesEveryKey holds the example and the decoder together: the same sections, the same keys, each once, with
// the default that the code has.
func TestExampleNamesEveryKey(t *testing.T) {
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	header, seen := "", map[string][]string{}
	for i, line := range strings.Split(string(data), "\n") {
		// A table that may be left out is commented out, with all of its keys.
		if trimmed := strings.TrimPrefix(strings.TrimSpace(line), "#"); strings.HasPrefix(trimmed, "[") {
			header = trimmed
			continue
		}
		m := exampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		commented, key, value := m[1] != "", m[2], m[3]
		at := slices.IndexFunc(knownKeys()[header], func(k knownKey) bool { return k.name == key })
		if at < 0 {
			t.Errorf("line %d: the decoder does not know %s in %s", i+1, key, header)
			continue
		}
		if slices.Contains(seen[header], key) {
			t.Errorf("line %d: %s is there twice in %s", i+1, key, header)
		}
		seen[header] = append(seen[header], key)
		byDefault := knownKeys()[header][at].byDefault
		switch {
		case commented && byDefault != "":
			t.Errorf("line %d: %s has a default, %s, and need not be commented out", i+1, key, byDefault)
		case !commented && byDefault != "" && value != byDefault:
			t.Errorf("line %d: %s = %s, but the default is %s", i+1, key, value, byDefault)
		}
	}
	for header, keys := range knownKeys() {
		for _, k := range keys {
			if !strings.HasPrefix(k.byDefault, "[") && !slices.Contains(seen[header], k.name) {
				t.Errorf("the example lacks %s = %s in %s", k.name, k.byDefault, header)
			}
		}
	}
}

// TestExampleIsRight parses the example as it is, and with the keys that are commented out.
func TestExampleIsRight(t *testing.T) {
	f, err := Load(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Warnings) != 0 {
		t.Errorf("warnings: %v", f.Warnings)
	}
	byDefault := Default()
	if f.Balancer.Engine != byDefault.Engine || f.Shutdown != byDefault.Shutdown || f.Log != byDefault.Log {
		t.Errorf("the example differs from the defaults: %+v", f)
	}
	if p := f.Probes["fe"]; p != byDefault.Probe {
		t.Errorf("the probe is %+v, want the defaults %+v", p, byDefault.Probe)
	}
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^(\s*)#([a-z_]+ = |\[)`).ReplaceAllString(string(data), "$1$2")
	all = strings.Replace(all, `query = ""`, `query = "select 1"`, 1) // which expect needs
	all = strings.Replace(all, ` user = ""`, ` user = "monitor"`, 1)
	if _, err := Parse("example", []byte(all)); err != nil {
		t.Errorf("with the keys that were commented out: %v", err)
	}
}

// TestDefaults: a file that says nothing gets what Default says.
func TestDefaults(t *testing.T) {
	f, err := Parse("config.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	byDefault := Default()
	pool := f.Balancer.Pools[0]
	want := byDefault.Pool
	want.Name, want.Backends = pool.Name, pool.Backends
	if got, want := fmt.Sprintf("%+v", pool), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("pool:\n%s\nwant:\n%s", got, want)
	}
	listener := f.Balancer.Listeners[0]
	wantListener := byDefault.Listener
	wantListener.Name, wantListener.Bind, wantListener.Pool = listener.Name, listener.Bind, listener.Pool
	if got, want := fmt.Sprintf("%+v", listener), fmt.Sprintf("%+v", wantListener); got != want {
		t.Errorf("listener:\n%s\nwant:\n%s", got, want)
	}
	if f.Probes["fe"] != byDefault.Probe {
		t.Errorf("probe: %+v, want %+v", f.Probes["fe"], byDefault.Probe)
	}
	if f.Balancer.Pools[0].Backends[0].Weight != 1 {
		t.Errorf("a backend weighs %d", f.Balancer.Pools[0].Backends[0].Weight)
	}
	if len(f.Warnings) != 0 {
		t.Errorf("warnings: %v", f.Warnings)
	}
}
