package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"fairlead/internal/demo"
	"fairlead/internal/terminal"
)

var demoFlags = []cli.Flag{
	&cli.IntFlag{Name: "fes", Value: 3, Usage: "`NUMBER` of front ends"},
	&cli.StringFlag{Name: "listen", Value: "127.0.0.1:9030", Usage: "`ADDRESS` for MySQL clients"},
	&cli.StringFlag{Name: "admin", Value: "127.0.0.1:9090", Usage: "`ADDRESS` for status and metrics, \"\" for none"},
	&cli.BoolFlag{Name: "chaos", Usage: "every few seconds a front end dies, freezes or leaves, or comes back"},
	&cli.Uint64Flag{Name: "seed", Usage: "`NUMBER` that the chaos follows from", DefaultText: "the time"},
	&cli.DurationFlag{Name: "for", Usage: "end after this `TIME`", DefaultText: "at Ctrl-C"},
}

func demoCommand(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.IsSet("for") {
		if c.Duration("for") <= 0 {
			return usage(errors.New("fairlead: --for must be more than 0"))
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Duration("for"))
		defer cancel()
	}
	seed := uint64(time.Now().UnixNano() % 1e6) // short, for people to type it
	if c.IsSet("seed") {
		seed = c.Uint64("seed")
	}
	err := demo.Run(ctx, demo.Options{
		Version: version, Program: os.Args[0], Out: os.Stdout, Style: terminal.StyleOf(os.Stdout), Log: os.Stderr,
		FEs: c.Int("fes"), Listen: c.String("listen"), Admin: c.String("admin"), Chaos: c.Bool("chaos"), Seed: seed,
	})
	if errors.Is(err, demo.ErrOptions) {
		return usage(fmt.Errorf("fairlead %w", err))
	}
	return err
}
