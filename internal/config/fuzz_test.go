package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse: any text gives a File that the balancer takes, or errors on lines that the text has, in their order.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range append(files, examplePath) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), "range") {
			t.Skip("a template may loop as long as it likes")
		}
		file, err := parse("fuzz.toml", data, fixed)
		lines := strings.Count(string(data), "\n") + 1
		check := func(problems []Problem) {
			last := 1
			for _, p := range problems {
				if p.Line < last || p.Line > lines || p.Message == "" || p.File != "fuzz.toml" {
					t.Errorf("of %d lines, after line %d: %+v", lines, last, p)
				}
				last = p.Line
			}
		}
		var problems Errors
		switch {
		case err == nil:
			if err := file.Balancer.Validate(); err != nil {
				t.Errorf("accepted, but the balancer refuses: %v", err)
			}
			if len(file.Probes) != len(file.Balancer.Pools) {
				t.Errorf("%d probes for %d pools", len(file.Probes), len(file.Balancer.Pools))
			}
			check(file.Warnings)
		case !errors.As(err, &problems) || len(problems) == 0 || file != nil:
			t.Errorf("file %v, error %v", file, err)
		default:
			check(problems)
		}
	})
}
