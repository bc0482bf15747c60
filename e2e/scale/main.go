//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program: 0 when everything grows as it should, 1 when something does not or failed, 2 for bad usage.
func run(arguments []string, out, complaints io.Writer) int {
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.SetOutput(complaints)
	names := flags.String("studies", "choose,backends,lines,sessions,sources", "studies to make")
	most := flags.Int("most", math.MaxInt, "largest size")
	program := flags.String("fairlead", "", "the fairlead to study (default: this source tree's, built afresh)")
	watched := flags.Duration("watched", 10*time.Second, "how long probing is watched")
	err := flags.Parse(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("scale: unexpected %q", flags.Arg(0))
		fmt.Fprintln(complaints, err)
	}
	if err != nil {
		return 2
	}
	figures, err := measure(strings.Split(*names, ","), *most, *program, *watched, complaints)
	faults := write(out, figures)
	if err != nil {
		fmt.Fprintln(complaints, err)
	}
	if err != nil || len(faults) > 0 {
		return 1
	}
	return 0
}

// measure makes the studies named, at sizes up to most. What was measured before an error is returned with it.
func measure(names []string, most int, program string, watched time.Duration, progress io.Writer) ([]figure, error) {
	for _, name := range names {
		if !slices.ContainsFunc(studies, func(s study) bool { return s.name == name }) {
			return nil, fmt.Errorf("scale: there is no study %q", name)
		}
	}
	sessions, err := raiseLimit()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fairlead-scale-")
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	defer os.RemoveAll(dir)
	if program == "" {
		program = filepath.Join(dir, "fairlead")
		if text, err := exec.Command("go", "build", "-o", program, "fairlead").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("scale: go build: %w: %s", err, text)
		}
	}
	server, err := serve()
	if err != nil {
		return nil, fmt.Errorf("scale: server: %w", err)
	}
	defer server.close()
	l := lab{program: program, server: server, watched: watched, newDir: func() (string, error) { return os.MkdirTemp(dir, "") }}
	var all []figure
	for _, s := range studies {
		if !slices.Contains(names, s.name) {
			continue
		}
		sizes := slices.Clone(s.sizes)
		if s.name == "sessions" {
			for i := range sizes {
				sizes[i] = min(sizes[i], sizes[i]*sessions/mostSessions/100*100)
			}
		}
		sizes = slices.DeleteFunc(sizes, func(n int) bool { return n > most })
		fmt.Fprintf(progress, "%s: %v\n", s.name, sizes)
		figures, err := s.measure(l, sizes)
		if err != nil {
			return all, err
		}
		all = append(all, figures...)
	}
	return all, nil
}
