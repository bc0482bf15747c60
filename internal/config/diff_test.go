package config

import (
	"slices"
	"strings"
	"testing"
)

func parsed(t *testing.T, text string) *File {
	t.Helper()
	f, err := parse("config.toml", []byte(text), fixed)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const before = `
[admin]
listen = "127.0.0.1:9090"
[[listener]]
name = "mysql"
bind = ["127.0.0.1:9030"]
pool = "fe"
login_timeout = "60s"
[[pool]]
name = "fe"
[[pool.backend]]
address = "fe1:9030"
[[pool.backend]]
address = "fe2:9030"
name = "second"
`

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"the same in other words": {`
# a comment
[[pool]]
name = "fe"
policy = "least-connections"
[[pool.backend]]
weight = 1
address = "fe1:9030"
[[pool.backend]]
name = "second"
address = "fe2:9030"
[[listener]]
name = "mysql"
login_timeout = "1m"
bind = "127.0.0.1:9030"
pool = "fe"
`, nil},
		"everything": {`
[admin]
listen = ["127.0.0.1:9090", "127.0.0.1:9091"]
[log]
format = "json"
[engine]
loops = 2
[reload]
watch = true
[[listener]]
name = "mysql"
bind = ":9030"
pool = "fe"
login_timeout = "1m"
  [[listener.route]]
  user = "etl"
  pool = "etl"
[[pool]]
name = "fe"
  [pool.probe]
  interval = "1s"
  [[pool.backend]]
  name = "second"
  address = "fe2:9030"
  weight = 7
  [[pool.backend]]
  address = "fe3:9030"
[[pool]]
name = "etl"
[[pool.backend]]
address = "fe4:9030"
`, []string{
			`[admin]: listen: "127.0.0.1:9090" → "127.0.0.1:9090", "127.0.0.1:9091" (needs a restart)`,
			`[log]: format: "text" → "json"`,
			`[reload]: watch: false → true`,
			`[engine]: loops: 0 → 2 (needs a restart)`,
			`pool "fe", backend "second": weight: 1 → 7`,
			`pool "fe", backend "fe3:9030": added`,
			`pool "fe", probe: interval: "2s" → "1s"`,
			`pool "etl": added`,
			`listener "mysql": bind: "127.0.0.1:9030" → "[::]:9030"`,
			`listener "mysql", route 1: added`,
			`pool "fe", backend "fe1:9030": removed`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := parsed(t, before), parsed(t, c.text)
			var got []string
			for _, change := range old.Diff(next) {
				got = append(got, change.String())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			// What needs a restart stays different until there is one; all else is in force.
			for _, change := range next.Keeping(old).Diff(next) {
				if !change.Restart {
					t.Errorf("still different: %v", change)
				}
			}
			for _, change := range old.Diff(next.Keeping(old)) {
				if change.Restart {
					t.Errorf("can't be in force: %v", change)
				}
			}
			back := next.Diff(old)
			if len(back) != len(got) {
				t.Errorf("the way back has other changes: %v", back)
			}
		})
	}
}
