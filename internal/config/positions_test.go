package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

const sample = `# one
admin.listen = "x" # two
title = """three
[four]
five = 5 \"""" # five

[[pool]]
'quoted key' = 1
"caf\u00e9" = [ # nine
  "ten", 'el,e]ven', # eleven
  { twelve = { deep = [1, 2] }, also = ''' } ''' },
]
[pool.probe]
interval = "2s"

[[pool.backend]]
address = "a:1"
  [[pool.backend]]
  address = "b:1"
[[pool]]
name = 2026-01-02 03:04:05
[pool.probe]
"type" = "tcp"
`

func TestLocate(t *testing.T) {
	root, repeated, excess := locate(sample)
	if repeated != nil || excess != nil {
		t.Fatalf("repeated %v, excess %v", repeated, excess)
	}
	for path, want := range map[string]int{
		"admin":                      2,
		"admin.listen":               2,
		"title":                      3,
		"pool[0]":                    7,
		"pool[0].quoted key":         8,
		"pool[0].café":               9,
		"pool[0].café[1]":            10,
		"pool[0].café[2].twelve":     11,
		"pool[0].café[2].also":       11,
		"pool[0].probe":              13,
		"pool[0].probe.interval":     14,
		"pool[0].backend[0]":         16,
		"pool[0].backend[0].weight":  16, // not there: its table
		"pool[0].backend[1]":         18,
		"pool[0].backend[1].address": 19,
		"pool[1]":                    20,
		"pool[1].name":               21,
		"pool[1].probe.type":         23,
		"nothing":                    1,
	} {
		if got := root.find(path).line; got != want {
			t.Errorf("%s is on line %d, want %d", path, got, want)
		}
	}
}

func TestLocateRepeated(t *testing.T) {
	_, repeated, _ := locate("a.b = 1\nc = 2\na = 3\n")
	if len(repeated) != 1 || repeated[0] != (repetition{"a", 3, 1}) {
		t.Errorf("got %v", repeated)
	}
}

func TestLocateBounds(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"arrays":        {"\na = " + strings.Repeat("[", 1<<20), "arrays or tables are more than 32 deep in each other"},
		"inline tables": {"\na = " + strings.Repeat("{a=", 1<<20), "arrays or tables are more than 32 deep in each other"},
		"dotted key":    {"\na" + strings.Repeat(".a", 1<<20), "a key has more than 16 parts"},
		"dotted header": {"\n[a" + strings.Repeat(".a", 1<<20), "a key has more than 16 parts"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, excess := locate(c.text)
			if excess == nil || excess.Message != c.want || excess.Line != 2 {
				t.Errorf("got %v", excess)
			}
		})
	}
	if _, _, excess := locate("a = " + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)); excess != nil {
		t.Errorf("at the bound: %v", excess)
	}
}

// FuzzLocate: every key that the TOML library reads has a position, on a line that holds it.
func FuzzLocate(f *testing.F) {
	f.Add(sample)
	f.Add("\xef\xbb\xbfa = 1")
	f.Add("a = {\n b = 1, # }\n c = [ [ ], [ {} ] ],\n}\n")
	f.Add("\"a\\\"b\" . 'c.d' = '''\n'''''\ne = \"\"\"\\\"\"\"\"\"")
	f.Fuzz(func(t *testing.T, text string) {
		root, _, excess := locate(text)
		lines := strings.Split(text, "\n")
		if excess != nil {
			if excess.Line < 1 || excess.Line > len(lines) {
				t.Errorf("excess on line %d of %d", excess.Line, len(lines))
			}
			return
		}
		var tree map[string]any
		if _, err := toml.Decode(text, &tree); err == nil {
			compare(t, lines, "", tree, root)
		}
	})
}

// compare walks the library's tree and looks for each key's position.
func compare(t *testing.T, lines []string, path string, value any, at *position) {
	switch v := value.(type) {
	case map[string]any:
		for k, inner := range v {
			p := at.keys[k]
			if p == nil {
				t.Errorf("%s.%q has no position", path, k)
				continue
			}
			if p.line < 1 || p.line > len(lines) {
				t.Errorf("%s.%q is on line %d of %d", path, k, p.line, len(lines))
			} else if bare(k) && !strings.Contains(lines[p.line-1], k) && !strings.Contains(lines[p.line-1], `\`) {
				t.Errorf("%s.%q is not on line %d: %q", path, k, p.line, lines[p.line-1])
			}
			compare(t, lines, path+"."+k, inner, p)
		}
	case []map[string]any:
		for i, inner := range v {
			compareElement(t, lines, path, i, inner, at)
		}
	case []any:
		for i, inner := range v {
			compareElement(t, lines, path, i, inner, at)
		}
	}
}

func compareElement(t *testing.T, lines []string, path string, i int, value any, at *position) {
	path = fmt.Sprintf("%s[%d]", path, i)
	if i >= len(at.elements) {
		t.Errorf("%s has no position", path)
		return
	}
	compare(t, lines, path, value, at.elements[i])
}

func bare(key string) bool {
	return key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}
