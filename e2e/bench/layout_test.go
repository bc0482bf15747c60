//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestChooseLayout(t *testing.T) {
	for _, c := range []struct {
		name   string
		usable []int
		want   layout
	}{
		{layoutAuto, []int{3}, layout{layoutShared, []int{3}, []int{3}, []int{3}}},
		{layoutApart, []int{3}, layout{layoutShared, []int{3}, []int{3}, []int{3}}},
		{layoutAuto, []int{0, 1}, layout{layoutShared, []int{0, 1}, []int{0}, []int{1}}},
		{layoutApart, []int{0, 1}, layout{layoutApart, []int{0}, []int{1}, []int{1}}},
		{layoutApart, []int{0, 1, 2}, layout{layoutApart, []int{0, 1}, []int{2}, []int{2}}},
		{layoutAuto, []int{0, 1, 2, 3}, layout{layoutApart, []int{0, 1}, []int{2}, []int{3}}},
		{layoutAuto, []int{0, 1, 4, 5, 6, 7, 8}, layout{layoutApart, []int{0, 1, 4}, []int{5, 6}, []int{7, 8}}},
	} {
		got, err := chooseLayout(c.name, c.usable)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s of %v: %+v, %v; want %+v", c.name, c.usable, got, err, c.want)
		}
	}
	if _, err := chooseLayout("round", []int{0}); err == nil {
		t.Error("no error for an unknown name")
	}
	if _, err := chooseLayout(layoutAuto, nil); err == nil {
		t.Error("no error without processors")
	}
}

func TestStartPinnedHoldsTheChild(t *testing.T) {
	usable, err := usableProcessors()
	if err != nil || len(usable) == 0 {
		t.Fatalf("usable processors: %v, %v", usable, err)
	}
	last := usable[len(usable)-1:]
	output, err := os.Create(filepath.Join(t.TempDir(), "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd := exec.Command("cat", "/proc/self/status")
	cmd.Stdout = output
	if err := startPinned(cmd, last); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(output.Name())
	if err != nil {
		t.Fatal(err)
	}
	_, allowed, _ := strings.Cut(string(text), "Cpus_allowed_list:")
	allowed, _, _ = strings.Cut(allowed, "\n")
	if strings.ContainsAny(strings.TrimSpace(allowed), ",-") {
		t.Errorf("the child may run on %s, not on %v alone", allowed, last)
	}
	if now, err := usableProcessors(); err != nil || !reflect.DeepEqual(now, usable) {
		t.Errorf("the parent may run on %v afterwards, not on %v (%v)", now, usable, err)
	}
}
