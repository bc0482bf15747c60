package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeTroubles: every message of the log that README.md explains is one that the program logs, and every reason one
// that it counts.
func TestReadmeTroubles(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## When something is wrong\n")
	if !found {
		t.Fatal("README.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	source := sourceText(t)
	quoted := regexp.MustCompile("`([^`]+)`")
	explained := 0
	for line := range strings.Lines(section) {
		symptom, _, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !isRow {
			continue
		}
		for _, q := range quoted.FindAllStringSubmatch(symptom, -1) {
			for part := range strings.SplitSeq(q[1], "…") {
				word := strings.Trim(part, ` ":=`)
				word = strings.TrimPrefix(strings.TrimPrefix(word, "end="), `reason="`)
				if strings.HasPrefix(word, "ERROR ") || word == "" {
					continue
				}
				explained++
				if !strings.Contains(source, word) && !strings.Contains(source, lastWord(word)) {
					t.Errorf("%q is nowhere in the source", word)
				}
			}
		}
	}
	if explained < 10 {
		t.Errorf("%d messages are explained", explained)
	}
}

// lastWord is what stands after the last blank of a text that the program puts together.
func lastWord(text string) string {
	fields := strings.Fields(text)
	if len(fields) > 2 {
		return text // a message stands in one piece
	}
	return fields[len(fields)-1]
}

// sourceText is the program's source without its tests.
func sourceText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../balancer", "../probe", "../metrics", "../internal"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}
