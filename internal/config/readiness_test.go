package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadinessFile: Load tells whether the file can be written, and leaves it as it is.
func TestReadinessFile(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		err   string // DIR stands for the directory
	}{
		"none":         {"", ""},
		"there":        {"readiness", ""},
		"not there":    {"other", ""},
		"no directory": {"gone/readiness", "stat DIR/gone: no such file or directory"},
		"in a file":    {"readiness/readiness", "stat DIR/readiness/readiness: not a directory"},
		"a directory":  {"sub", "DIR/sub is no ordinary file"},
		"a device":     {"/dev/null", "/dev/null is no ordinary file"},
		"no right":     {"/proc/version", "write /proc/version: "},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "no right" && os.Geteuid() == 0 {
				t.Skip("root may write everywhere")
			}
			dir := t.TempDir()
			file := write(t, dir, "readiness", "0\n", 0o644)
			if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			path := write(t, dir, "config.toml", "[admin]\nreadiness_file = \""+c.value+"\"\n"+minimal, 0o600)
			f, err := Load(path)
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "":
				want := "config.toml:2: readiness_file: " + c.err
				if err == nil || !strings.HasPrefix(strings.ReplaceAll(strings.ReplaceAll(err.Error(), path, "config.toml"), dir, "DIR"), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			case c.value != "" && f.Admin.ReadinessFile != filepath.Join(dir, c.value):
				t.Errorf("the file is sought in %s", f.Admin.ReadinessFile)
			}
			if text, err := os.ReadFile(file); string(text) != "0\n" || err != nil {
				t.Errorf("the file holds %q afterwards (%v)", text, err)
			}
		})
	}
}

// TestStateFile: a file that could not be replaced is told of.
func TestStateFile(t *testing.T) {
	dir := t.TempDir()
	for value, want := range map[string]string{
		"":           "",
		"state":      "",
		"gone/state": "state_file: stat ",
		"/dev/null":  "state_file: /dev/null is no ordinary file",
	} {
		f, err := Load(write(t, dir, "config.toml", "[admin]\nstate_file = \""+value+"\"\n"+minimal, 0o600))
		switch {
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: got %v, want %s", value, err, want)
		case want == "" && err != nil:
			t.Errorf("%q: %v", value, err)
		case value == "state" && f.Admin.StateFile != filepath.Join(dir, value):
			t.Errorf("the file is sought in %s", f.Admin.StateFile)
		}
	}
}
