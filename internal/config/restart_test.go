package config

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestNeedsRestart: what the example marks with (restart) is what NeedsRestart knows, no more and no less.
func TestNeedsRestart(t *testing.T) {
	file := func(text string) *File {
		f, err := parse("config.toml", []byte(text), fixed)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	byDefault, other := file(minimal), file(everything)
	if keys := byDefault.NeedsRestart(file(minimal)); keys != nil {
		t.Errorf("nothing changed, but %v", keys)
	}
	known := byDefault.NeedsRestart(other) // there every key differs

	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	var marked []string
	header, all, above := "", false, ""
	for _, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		switch m := exampleLine.FindStringSubmatch(line); {
		case m != nil:
			if all || strings.Contains(above, "(restart)") {
				marked = append(marked, header+"."+m[2])
			}
			above = ""
		case strings.HasPrefix(line, "["):
			header, all, above = strings.Trim(line, "[]"), strings.Contains(above, "(restart for all of its keys)"), ""
		case line == "":
			above = ""
		default:
			above += line
		}
	}
	if !slices.Equal(marked, known) {
		t.Errorf("the example marks %v, NeedsRestart knows %v", marked, known)
	}
}
