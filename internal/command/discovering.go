package command

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"fairlead/internal/check"
	"fairlead/internal/config"
	"fairlead/internal/terminal"
)

var dryRunFlag = &cli.BoolFlag{Name: "dry-run", Value: true, Usage: "change nothing; it never does, for a running fairlead discovers by itself"}

func discoverCommand(c *cli.Context) error {
	if c.Args().Len() > 1 {
		return usage(errors.New("fairlead: discover takes one POOL at most: see fairlead discover --help"))
	}
	if !c.Bool("dry-run") {
		return usage(errors.New("fairlead: discover only ever tells what would be used; a running fairlead discovers by itself"))
	}
	file, err := config.Load(configPath(c))
	if err != nil {
		return usage(err)
	}
	if err := discoverable(file, c.Args().First()); err != nil {
		return usage(err)
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	all := check.Discover(ctx, file, c.Args().First())
	if c.Bool("json") {
		err = printJSON(all)
	} else {
		err = check.ShowDiscovered(os.Stdout, terminal.StyleOf(os.Stdout), all)
	}
	if err != nil {
		return err
	}
	for _, d := range all {
		if !d.Good() {
			return errUnfit
		}
	}
	return nil
}

// discoverable tells whether there is anything to discover: for that pool, or, when it is empty, for any.
func discoverable(file *config.File, pool string) error {
	if pool != "" && file.Discoveries[pool].Type != "" || pool == "" && len(file.Discoveries) > 0 {
		return nil
	}
	var names []string
	for _, p := range file.Balancer.Pools {
		if p.Name == pool {
			return fmt.Errorf("fairlead: pool %q of %s has no [pool.discovery]", pool, file.Name)
		}
		names = append(names, p.Name)
	}
	if pool == "" {
		return fmt.Errorf("fairlead: no pool of %s has a [pool.discovery]", file.Name)
	}
	return unknown("pool", pool, names, file.Name)
}
