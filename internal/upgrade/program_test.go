package upgrade

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestStartedAs: a symbolic link is followed anew by each upgrade, and a name that leads elsewhere is not believed.
func TestStartedAs(t *testing.T) {
	dir := t.TempDir()
	running, other, link := filepath.Join(dir, "fairlead-1"), filepath.Join(dir, "fairlead-2"), filepath.Join(dir, "fairlead")
	for _, name := range []string{running, other} {
		if err := os.WriteFile(name, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(running, link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	for name, want := range map[string]string{
		link: link, "./fairlead": link, "fairlead": link, running: running, other: running, "-fairlead": running, "/nowhere/fairlead": running, "": running,
	} {
		if got := startedAs(name, running); got != want {
			t.Errorf("started as %q: %s, want %s", name, got, want)
		}
	}
}

func TestWithout(t *testing.T) {
	if got := without([]string{"A=1", "B=2", "AB=3", "A=4=5"}, "A"); !slices.Equal(got, []string{"B=2", "AB=3"}) {
		t.Errorf("got %v", got)
	}
}

// TestInherit: without an upgrade there is nobody before, and what is set by accident is told of.
func TestInherit(t *testing.T) {
	t.Setenv(variable, "")
	if p, err := Inherit(); p != nil || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	t.Setenv(variable, "17")
	if _, err := Inherit(); err == nil {
		t.Error("nonsense is believed")
	}
	if _, set := os.LookupEnv(variable); set {
		t.Error("the variable is passed on")
	}
}
