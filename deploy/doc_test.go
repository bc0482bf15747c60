// Package deploy checks the files beside it with the tools that will read them. What is not installed is skipped, or is
// a failure with FAIRLEAD_E2E_REQUIRE=1.
package deploy

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience only ends a tool that hangs.
const patience = time.Minute

// required finds a program, also where only root looks.
func required(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, filepath.Join("/usr/sbin", program), filepath.Join("/sbin", program)} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
		t.Fatalf("%s is not installed, and FAIRLEAD_E2E_REQUIRE=1 wants it", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// output runs a program that must succeed, and returns all that it prints.
func output(t *testing.T, program string, arguments ...string) string {
	t.Helper()
	text, err := try(t, program, arguments...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(arguments, " "), err, text)
	}
	return text
}

// try is output for what may fail.
func try(t *testing.T, program string, arguments ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	text, err := exec.CommandContext(ctx, program, arguments...).CombinedOutput()
	return string(text), err
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// replaced copies a file into dir with some texts, which must be in it, replaced by others.
func replaced(t *testing.T, path, dir string, pairs ...string) string {
	t.Helper()
	text := read(t, path)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s has no %q", path, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	copied := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(copied, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return copied
}
