//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// roles are the sub-commands that the program starts itself as.
var roles = map[string]func(arguments []string) error{
	"server": serverCommand,
	"load":   loadCommand,
	"copy":   copyCommand,
}

// run is the program: 0 when all was measured, 1 when something failed, 2 for bad usage.
func run(arguments []string) int {
	if err := raiseDescriptorLimit(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if len(arguments) > 0 {
		if role, ok := roles[arguments[0]]; ok {
			if err := role(arguments[1:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
	}
	s, err := parseSettings(arguments)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// settings is what the command line says.
type settings struct {
	Rounds   int           `json:"rounds"`
	Duration time.Duration `json:"duration_ns"`
	Warmup   time.Duration `json:"warmup_ns"`
	Loads    []string      `json:"loads"`
	Sessions int           `json:"idle_sessions"`
	Settle   time.Duration `json:"settle_ns"`
	peers    []string
	fairlead string
	layout   string
	out      string
	readme   string
}

func parseSettings(arguments []string) (settings, error) {
	var s settings
	var loads, peers string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&s.Rounds, "rounds", 5, "rounds, of which medians are taken")
	flags.DurationVar(&s.Duration, "duration", 2*time.Second, "how long each load is measured (sysbench: whole seconds)")
	flags.DurationVar(&s.Warmup, "warmup", 300*time.Millisecond, "how long each load runs before it is measured")
	flags.StringVar(&loads, "loads", "a,b,c,d,e", "loads to run")
	flags.StringVar(&peers, "peers", "", "proxies to run, of "+strings.Join(peerNames, ",")+" (default: all that are installed)")
	flags.StringVar(&s.fairlead, "fairlead", "", "the fairlead to measure (default: this source tree's, built afresh)")
	flags.StringVar(&s.layout, "layout", layoutAuto, "division of the processors: auto, shared or apart")
	flags.IntVar(&s.Sessions, "sessions", 0, "idle sessions of load d (default: as many as descriptors allow, at most 25000)")
	flags.DurationVar(&s.Settle, "settle", 10*time.Second, "pause before the memory of idle sessions is read again")
	flags.StringVar(&s.out, "out", "bench-out", "directory for bench.json and bench.svg")
	flags.StringVar(&s.readme, "readme", "", "README.md to put the table of goals into")
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	s.Loads, s.peers = list(loads), list(peers)
	if flags.NArg() > 0 || s.Rounds < 1 || s.Duration <= 0 || s.Warmup < 0 || s.Sessions < 0 || s.Settle < 0 {
		return s, errors.New("bench: no arguments beside flags, no negative values, at least one round")
	}
	return s, nil
}

// compare measures all peers and writes the reports.
func compare(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "fairlead-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, s, dir)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	r := b.report()
	if err := r.writeTable(os.Stdout); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := writeFile(filepath.Join(s.out, "bench.json"), r.writeJSON); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(s.out, "bench.svg"), r.writeChart); err != nil {
		return err
	}
	if s.readme != "" {
		if err := r.intoReadme(s.readme); err != nil {
			return err
		}
	}
	return r.failed()
}
