package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes a file in a directory of the test.
func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	_, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "copy config.toml.example to "+path) {
		t.Errorf("got %v", err)
	}
}

func TestLoadUnreadable(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "config: ") {
		t.Errorf("a directory: %v", err)
	}
}

func TestTooLong(t *testing.T) {
	path := write(t, t.TempDir(), "config.toml", strings.Repeat("#", maxSize+5), 0o600)
	_, err := Load(path)
	if err == nil || !strings.Contains(err.Error(), "at most 1048576 are read") {
		t.Errorf("got %v", err)
	}
}

func withProbe(probe string) string {
	return strings.Replace(minimal, "[[pool.backend]]", "[pool.probe]\n"+probe+"\n[[pool.backend]]", 1)
}

// TestPasswordFiles: Load reads what the probes will read, relative to the configuration's own directory.
func TestPasswordFiles(t *testing.T) {
	const login = "user = \"monitor\"\npassword_file = \"secret\"\n"
	for name, c := range map[string]struct {
		probe, secret string
		mode          os.FileMode
		err, warning  string // DIR stands for the directory
	}{
		"right":     {login, "geheim\n", 0o600, "", ""},
		"group":     {login, "geheim\n", 0o640, "", ""},
		"everybody": {login, "geheim\n", 0o644, "", "config.toml:10: password_file: everyone on this machine can read DIR/secret (mode 0644): chmod 600 DIR/secret"},
		"empty":     {login, "", 0o600, "", "config.toml:10: password_file: DIR/secret is empty"},
		"missing": {"user = \"monitor\"\npassword_file = \"other\"\n", "", 0o600,
			"config.toml:10: password_file: open DIR/other: no such file or directory", ""},
		"too long": {login, strings.Repeat("x", 5000), 0o600, "config.toml:10: password_file: DIR/secret is longer than 4096 bytes", ""},
		"missing for http": {"http = \"http://{host}:8030/\"\nhttp_user = \"monitor\"\nhttp_password_file = \"/nowhere/at/all\"\n", "", 0o600,
			"config.toml:11: http_password_file: open /nowhere/at/all: no such file or directory", ""},
		"no certificate":    {login + "tls = \"ca.pem\"\n", "x", 0o600, "config.toml:11: tls: open DIR/ca.pem: no such file or directory", ""},
		"not a certificate": {login + "tls = \"secret\"\n", "x", 0o600, "config.toml:11: tls: DIR/secret holds no PEM certificate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "secret", c.secret, c.mode)
			path := write(t, dir, "config.toml", withProbe(c.probe), 0o600)
			f, err := Load(path)
			plain := func(text string) string {
				return strings.ReplaceAll(strings.ReplaceAll(text, path, "config.toml"), dir, "DIR")
			}
			switch {
			case c.err == "" && err != nil:
				t.Fatal(err)
			case c.err != "" && (err == nil || plain(err.Error()) != c.err):
				t.Fatalf("got  %v\nwant %s", err, c.err)
			case err != nil:
				return
			}
			if got := plain(Errors(f.Warnings).Error()); got != c.warning {
				t.Errorf("warnings: %q, want %q", got, c.warning)
			}
			if got := f.Probes["fe"].PasswordFile; got != filepath.Join(dir, "secret") {
				t.Errorf("the password is sought in %s", got)
			}
			// The text alone says nothing of the files.
			if _, err := Parse(path, []byte(withProbe(strings.ReplaceAll(c.probe, "secret", "elsewhere")))); err != nil {
				t.Errorf("Parse: %v", err)
			}
		})
	}
}

// TestFileErrorsStandWithTheOthers: a missing password does not hide an unknown key, nor the other way round.
func TestFileErrorsStandWithTheOthers(t *testing.T) {
	path := write(t, t.TempDir(), "config.toml", withProbe("user = \"m\"\npassword_file = \"gone\"\nrises = 3\n"), 0o600)
	_, err := Load(path)
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 || all[0].Line != 10 || all[1].Line != 11 {
		t.Errorf("got %v", err)
	}
}
