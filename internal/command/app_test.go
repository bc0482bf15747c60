package command

import (
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

func TestOrder(t *testing.T) {
	for line, want := range map[string]string{
		"":                               "",
		"-c f":                           "-c f",
		"-c=f run":                       "-c=f run",
		"drain fe1 --socket s":           "drain --socket s -- fe1",
		"drain --socket=s fe1":           "drain --socket=s -- fe1",
		"-c f status --json --watch":     "-c f status --json --watch",
		"probe h:1 --user u --http x":    "probe --user u --http x -- h:1",
		"probe --timeout 1s h:1 -- -odd": "probe --timeout 1s -- h:1 -odd",
		"nonsense --json":                "nonsense --json",
		"drain - fe1":                    "drain -- - fe1",
		"run --help":                     "run --help",
		"demo --chaos --fes 2":           "demo --chaos --fes 2",
		"help drain":                     "help drain",
		"probe h:1 --query":              "!needs a value",
		"probe h:1 --qurey x":            `!did you mean "--query"?`,
		"--confg f":                      `!did you mean "--config"?`,
		"demo --choas":                   `!did you mean "--chaos"?`,
	} {
		got, err := order(newApp(), append([]string{"fairlead"}, strings.Fields(line)...))
		if problem, ok := strings.CutPrefix(want, "!"); ok {
			var status *statusError
			if !errors.As(err, &status) || status.code != exitUsage || !strings.Contains(err.Error(), problem) {
				t.Errorf("%q: %v, want %s", line, err, problem)
			}
			continue
		}
		if text := strings.Join(got[min(1, len(got)):], " "); err != nil || text != want {
			t.Errorf("%q became %q, %v\nwant %q", line, text, err, want)
		}
	}
}

// TestGiven: a flag means the same before the command and after it; the one after it wins.
func TestGiven(t *testing.T) {
	for line, want := range map[string]string{
		"try": "", "-c a try": "a", "try -c b": "b", "try --config b": "b", "--config a try -c b": "b",
	} {
		var got string
		app := newApp()
		app.Commands = append(app.Commands, &cli.Command{Name: "try", Flags: places(), Action: func(c *cli.Context) error {
			got = given(c, "config")
			return nil
		}})
		if err := app.Run(append([]string{"fairlead"}, strings.Fields(line)...)); err != nil || got != want {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

// TestFlagsAreDistinct: each command can be set up, and tells what it does.
func TestFlagsAreDistinct(t *testing.T) {
	for _, c := range commands() {
		seen := map[string]bool{}
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				if seen[name] {
					t.Errorf("%s has --%s twice", c.Name, name)
				}
				seen[name] = true
			}
		}
		if c.Usage == "" || c.Action == nil {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
}

func TestStatuses(t *testing.T) {
	if usage(nil) != nil {
		t.Error("usage makes an error of nothing")
	}
	cause := errors.New("cause")
	if err := usage(cause); !errors.Is(err, cause) || err.Error() != "cause" {
		t.Error(err)
	}
}
