package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"absolute":       {"[admin]\nsocket = \"/tmp/s\"\n", "/tmp/s"},
		"relative":       {"[admin]\nsocket = \"run/s\"\n", filepath.Join(dir, "run/s")},
		"none":           {"[admin]\nsocket = \"\"\n", ""},
		"left out":       {"[admin]\n", "/run/fairlead/fairlead.sock"},
		"empty file":     {"", "/run/fairlead/fairlead.sock"},
		"faults besides": {"wrong = 1\n[admin]\nsocket = \"/tmp/s\"\nlisten = 7\n", "/tmp/s"},
	} {
		path := write(t, dir, "config.toml", c.text, 0o600)
		if got, err := Socket(path); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
		if f, err := Load(path); err == nil && f.Admin.Socket != c.want {
			t.Errorf("%s: Load says %q", name, f.Admin.Socket)
		}
	}
	if _, err := Socket(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := Socket(write(t, dir, "config.toml", "[admin\n", 0o600)); err == nil {
		t.Error("a file that is no TOML was read")
	}
}
