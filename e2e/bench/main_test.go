//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for the program when that starts itself as server, load generator or proxy.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestSmoke runs every load that needs no other program over the io.Copy proxy. It asserts that all was measured, never
// how fast it was.
func TestSmoke(t *testing.T) {
	if err := raiseDescriptorLimit(); err != nil {
		t.Fatal(err)
	}
	// The proxy needs six for each of 512 connections.
	if limit, err := descriptorLimit(); err != nil || limit < 4096 {
		t.Skipf("needs 4096 descriptors, has %d (%v)", limit, err)
	}
	out := t.TempDir()
	status := run([]string{"--rounds", "1", "--duration", "200ms", "--warmup", "20ms", "--peers", copyName,
		"--loads", "a,b,c,d", "--sessions", "50", "--settle", "1ms", "--out", out})
	if status != 0 {
		t.Fatalf("exit status %d, want 0", status)
	}
	text, err := os.ReadFile(filepath.Join(out, "bench.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	cases, _ := chooseCases([]string{"a", "b", "c", "d"})
	if len(r.Cases) != len(cases) {
		t.Fatalf("%d cases in the report, want %d", len(r.Cases), len(cases))
	}
	for i, c := range r.Cases {
		p, ok := c.peer(copyName)
		if !ok {
			t.Fatalf("%s: no result", c.Title)
		}
		for _, figure := range []metric{operations, cpuMetric(cases[i])} {
			if p.Median[figure] <= 0 {
				t.Errorf("%s: %s is %v", c.Title, figure, p.Median[figure])
			}
		}
	}
	idle, _ := r.Cases[len(r.Cases)-1].peer(copyName)
	if held := idle.Median[sessionsHeld]; held != 50 {
		t.Errorf("%v sessions held, want 50", held)
	}
	// Six when all pipes are there; the two sockets in any case.
	if each := idle.Median[descriptorsPerSession]; each < 2 || each > 7 {
		t.Errorf("%v descriptors a session", each)
	}
	if _, err := os.Stat(filepath.Join(out, "bench.svg")); err != nil {
		t.Error(err)
	}
}

// A peer that can't be started, that ends, or that hangs, is out, and the others go on.
func TestTurnsGoOnWithoutAPeerThatFails(t *testing.T) {
	ctx := t.Context()
	b, err := newBench(ctx, settings{Rounds: 1, Duration: 2 * turnDuration, Loads: []string{"b"}, peers: []string{copyName}, layout: layoutAuto}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	fine := b.peers[0]
	absent, leaving, hanging := fine, fine, fine
	pidFile := filepath.Join(t.TempDir(), "pid")
	hanging.command = func(r route, s surroundings) ([]string, error) {
		argv, err := fine.command(r, s)
		return append([]string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, pidFile}, argv...), err
	}
	absent.command = func(route, surroundings) ([]string, error) { // the one before it has been started by now
		text, err := os.ReadFile(pidFile)
		if err != nil {
			return nil, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		return []string{"false"}, errors.Join(err, syscall.Kill(pid, syscall.SIGSTOP))
	}
	leaving.command = func(r route, s surroundings) ([]string, error) {
		argv, err := fine.command(r, s)
		return append([]string{"timeout", "--signal=KILL", "0.6"}, argv...), err
	}
	b.settings.Warmup = 2 * time.Second // in which one is killed
	b.patience = 3 * time.Second
	results := b.measureInTurns(ctx, b.cases[0], []peer{hanging, absent, leaving, fine})
	for i, wantErr := range []bool{true, true, true, false} {
		if (results[i].err != nil) != wantErr || (results[i].m != nil) == wantErr {
			t.Errorf("peer %d: %v, %v", i, results[i].m, results[i].err)
		}
	}
	if err := results[0].err; err == nil || !strings.Contains(err.Error(), "its turn did not end") {
		t.Errorf("the peer that hangs: %v", err)
	}
	if m := results[3].m; m[operations] <= 0 || m[cpuPerOperation] <= 0 {
		t.Errorf("the peer that is left: %v", m)
	}
}

func TestRunRefusesBadUsage(t *testing.T) {
	for _, arguments := range [][]string{{"--rounds", "0"}, {"--duration", "-1s"}, {"--no-such-flag"}, {"surplus"}} {
		if status := run(arguments); status != 2 {
			t.Errorf("%v: exit status %d, want 2", arguments, status)
		}
	}
}

func TestRunFailsOnUnknownNames(t *testing.T) {
	for _, arguments := range [][]string{
		{"--peers", "copy", "--loads", "z"}, {"--peers", "squid"}, {"--peers", "copy", "--layout", "round"},
	} {
		if status := run(append(arguments, "--out", t.TempDir())); status != 1 {
			t.Errorf("%v: exit status %d, want 1", arguments, status)
		}
	}
}

func TestRotate(t *testing.T) {
	for by, want := range map[int]string{0: "abc", 1: "bca", 2: "cab", 3: "abc", 7: "bca"} {
		if got := string(rotate([]byte("abc"), by)); got != want {
			t.Errorf("rotated by %d: %s, want %s", by, got, want)
		}
	}
	if got := rotate([]int(nil), 3); len(got) != 0 {
		t.Errorf("nothing rotated: %v", got)
	}
}

func TestList(t *testing.T) {
	if got := list(" a,b ,,c"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
	if got := list(""); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
