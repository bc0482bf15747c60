//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// README.md has the table of the results that are kept beside it, and nobody has typed it.
func TestReadmeTable(t *testing.T) {
	text, err := os.ReadFile("results/bench.json")
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	if err := r.writeMarkdown(&want); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, table, _, ok := cutTable(string(readme)); !ok || table != want.String() {
		t.Errorf("README.md has\n%s\nwant\n%s", table, want.String())
	}
}

func TestIntoReadme(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	for _, text := range []string{"before\n" + tableBegins + "old\n" + tableEnds + "after\n", "no place\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := exampleReport().intoReadme(path)
		got, _ := os.ReadFile(path)
		if place := strings.Contains(text, tableBegins); place != (err == nil) {
			t.Errorf("%q: %v", text, err)
		} else if !place && string(got) != text {
			t.Errorf("becomes %q", got)
		} else if place {
			for _, want := range []string{"before\n" + tableBegins, tableEnds + "after\n", "| 64 connections | CPU of each | 9.10 µs | haproxy-auto 10.00 µs | 0.91 (0.90 to 0.92) | ≤ 1.0 | met |\n"} {
				if !strings.Contains(string(got), want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		}
	}
}
