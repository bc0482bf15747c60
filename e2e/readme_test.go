package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fairlead/internal/fakefe"
)

// notRun are the commands of README.md that these tests do not run, by their beginning, and why.
var notRun = map[string]string{
	".ci/run":                   "it is what runs this test",
	"mysql":                     "TestClients runs real clients",
	"./fairlead -c config.toml": "each test starts it",
	"install":                   "it needs a service that is installed",
	"fairlead upgrade":          "the tests of upgrading do",
}

// readmeBlock is what stands between fences in README.md.
type readmeBlock struct {
	line int
	kind string // sh, toml, haproxy …; "" for none
	text string
}

// readme takes README.md apart.
func readme(t *testing.T) (all []readmeBlock) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		kind, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !inside:
			all = append(all, readmeBlock{line: number + 1, kind: kind})
			inside = true
		case fence:
			inside = false
		case inside:
			all[len(all)-1].text += line
		}
	}
	if inside {
		t.Fatal("a fence of README.md is not closed")
	}
	return all
}

// readmeOf are the blocks of one kind, at least one.
func readmeOf(t *testing.T, kind string) (all []readmeBlock) {
	t.Helper()
	for _, b := range readme(t) {
		if b.kind == kind {
			all = append(all, b)
		}
	}
	if len(all) == 0 {
		t.Fatalf("README.md has no block of %s", kind)
	}
	return all
}

// TestReadmeConfigurations: "fairlead check" takes every configuration in README.md as it stands there.
func TestReadmeConfigurations(t *testing.T) {
	secret := regexp.MustCompile(`password_file = "([^"]+)"`)
	for _, b := range readmeOf(t, "toml") {
		dir := t.TempDir()
		for _, m := range secret.FindAllStringSubmatch(b.text, -1) {
			if err := os.WriteFile(filepath.Join(dir, m[1]), []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if o := fairleadIn(t, dir, "check", "-c", "config.toml"); o.code != 0 {
			t.Errorf("README.md:%d: status %d\n%s%s", b.line, o.code, o.stdout, o.stderr)
		}
	}
}

// TestReadmeOfAMistake: the mistake that README.md shows is found as it says, in the first file with the line added.
func TestReadmeOfAMistake(t *testing.T) {
	const asked = "$ ./fairlead check -c config.toml\n"
	i := slices.IndexFunc(readme(t), func(b readmeBlock) bool { return strings.HasPrefix(b.text, asked) })
	if i < 0 {
		t.Fatal("README.md shows no mistake")
	}
	dir := t.TempDir()
	text := strings.Replace(readmeOf(t, "toml")[0].text, "\n\n  [[pool.backend]]", "\n  intervall = \"5s\"\n\n  [[pool.backend]]", 1)
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := fairleadIn(t, dir, "check", "-c", "config.toml"); o.code != 2 || o.stdout+o.stderr != strings.TrimPrefix(readme(t)[i].text, asked) {
		t.Errorf("status %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// TestReadmeOfHAProxy: HAProxy takes the configurations for it that README.md compares with.
func TestReadmeOfHAProxy(t *testing.T) {
	haproxy := required(t, "haproxy")
	for _, b := range readmeOf(t, "haproxy") {
		path := filepath.Join(t.TempDir(), "haproxy.cfg")
		if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if output, err := exec.CommandContext(t.Context(), haproxy, "-c", "-f", path).CombinedOutput(); err != nil || strings.Contains(string(output), "WARNING") {
			t.Errorf("README.md:%d: %v\n%s", b.line, err, output)
		}
	}
}

// TestReadmeCommands runs every command of fairlead's that README.md shows, in front of front ends with the names and addresses
// that it uses, and knows why the others are not run.
func TestReadmeCommands(t *testing.T) {
	fes := []*fakefe.FE{startFE(t, fakefe.Config{Name: "fe1"}), startFE(t, fakefe.Config{Name: "fe2"})}
	p := start(t, inFront(fes...))
	dir := t.TempDir()
	text, err := os.ReadFile(p.config)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.toml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, b := range append(readmeOf(t, "sh"), readmeOf(t, "")...) {
		for line := range strings.Lines(b.text) {
			command, _, _ := strings.Cut(line, " #")
			command = strings.TrimSpace(command)
			if b.kind == "" { // shows a command with its output
				var shown bool
				if command, shown = strings.CutPrefix(command, "$ "); !shown || strings.HasPrefix(command, "./fairlead check ") {
					continue
				}
			}
			if command == "" || command[0] == '#' || unrun(command) {
				continue
			}
			ran++
			command = strings.NewReplacer("10.0.0.1:9030", fes[0].Address(), "HOST:9030", fes[0].Address()).Replace(command)
			if err := p.readmeCommand(dir, command); err != nil {
				t.Errorf("README.md, from line %d: %s: %v", b.line, command, err)
			}
		}
	}
	if ran < 5 {
		t.Errorf("README.md has %d commands", ran)
	}
}

// unrun tells whether a command is known not to be run.
func unrun(command string) bool {
	for beginning := range notRun {
		if command == beginning || strings.HasPrefix(command, beginning+" ") {
			return true
		}
	}
	return false
}

// readmeCommand runs a command of README.md.
func (p *process) readmeCommand(dir, command string) error {
	p.t.Helper()
	arguments := strings.Fields(command)
	switch {
	case command == "cp config.toml.example config.toml":
		_, err := os.Stat("../config.toml.example")
		return err
	case arguments[0] == "make":
		return target(arguments[1])
	case arguments[0] != "./fairlead" && arguments[0] != "fairlead":
		return errors.New("no test runs it, and notRun does not tell why")
	}
	arguments = arguments[1:]
	if !slices.Contains([]string{"check", "probe", "discover", "version"}, arguments[0]) {
		arguments = append(arguments, "--socket", p.socket)
	}
	if slices.Contains(arguments, "--watch") {
		return watched(p.t, dir, arguments)
	}
	if o := fairleadIn(p.t, dir, arguments...); o.code != 0 {
		return fmt.Errorf("status %d: %s%s", o.code, o.stdout, o.stderr)
	}
	return nil
}

// target wants the Makefile to have one. What they do is too long for a test, or is what runs this one.
func target(name string) error {
	makefile, err := os.ReadFile("../Makefile")
	if err == nil && !regexp.MustCompile(`(?m)^([a-z]+ )*`+regexp.QuoteMeta(name)+`( [a-z]+)*:`).Match(makefile) {
		err = fmt.Errorf("the Makefile has no %s", name)
	}
	return err
}

// watched runs a command that goes on for ever, until it has said something.
func watched(t *testing.T, dir string, arguments []string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, arguments...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	_, err = bufio.NewReader(stdout).ReadString('\n')
	_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended
	if ended := cmd.Wait(); err != nil {
		return fmt.Errorf("%w, %w: %s", err, ended, stderr.String())
	}
	return nil
}
