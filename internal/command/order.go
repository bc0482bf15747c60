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

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/terminal"
)

// drainFlags are those of the orders that empty a backend.
var drainFlags = []cli.Flag{
	&cli.BoolFlag{Name: "wait", Usage: "wait until no session is left, and tell how many there are"},
	&cli.BoolFlag{Name: "close-idle", Usage: "end each session once it is idle between statements, outside of a transaction"},
	&cli.DurationFlag{Name: "deadline", Usage: "cut the sessions that are left after `DURATION`, such as 5m", DefaultText: "never"},
}

// orderCommand makes the command that gives an order for one backend.
func orderCommand(o balancer.Order, does string) *cli.Command {
	made := &cli.Command{
		Name:      o.String(),
		Usage:     does,
		ArgsUsage: "BACKEND (its name or address, with POOL/ before it where that is not clear enough)",
		Flags:     places(),
		Action:    func(c *cli.Context) error { return orderAction(c, o) },
	}
	if o != balancer.Enable {
		made.Flags = append(made.Flags, drainFlags...)
		made.Description = "The order stands until another one, also when this command is interrupted.\n\n" +
			"Exit status with --wait: 0 when no session is left, 3 when the deadline has cut some, 1 when somebody has enabled\n" +
			"the backend meanwhile or the wait was interrupted."
	}
	return made
}

func orderAction(c *cli.Context, o balancer.Order) error {
	backend, err := oneArgument(c, "BACKEND")
	if err != nil {
		return err
	}
	asked := control.Instruction{Backend: backend, CloseIdle: c.Bool("close-idle")}
	if c.IsSet("deadline") {
		if c.Duration("deadline") < 0 {
			return usage(errors.New("fairlead: --deadline must not be negative"))
		}
		asked.Deadline = c.Duration("deadline").String()
	}
	client, err := clientOf(c)
	if err != nil {
		return err
	}
	done, err := client.Order(c.Context, o, asked)
	var unknown *control.BackendError
	if errors.As(err, &unknown) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	tellOrdered(done)
	if !c.Bool("wait") {
		return nil
	}
	return await(c.Context, client, done)
}

func tellOrdered(done control.Ordered) {
	if done.Absent {
		fmt.Printf("%s/%s is not there now; it may take sessions once it is\n", done.Pool, done.Backend)
	} else {
		until := ""
		if !done.Deadline.IsZero() {
			until = ", which are cut at " + done.Deadline.Local().Format("15:04:05")
		}
		fmt.Printf("%s/%s is %s, with %s%s\n", done.Pool, done.Backend,
			terminal.StyleOf(os.Stdout).Paint(control.StateColour(done.State), done.State.String()), terminal.Plural(done.Sessions, "session"), until)
	}
	if done.NotKept != "" {
		fmt.Fprintf(os.Stderr, "a restart of fairlead will forget this order: %s\n", done.NotKept)
	}
}

// await waits until a backend has no sessions left. Ctrl-C ends the wait, and nothing else.
func await(ctx context.Context, client *control.Client, done control.Ordered) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := control.Await(ctx, client, done, os.Stdout, terminal.IsTerminal(os.Stdout))
	var ended *control.DrainError
	switch {
	case errors.Is(err, context.Canceled):
		cut := ""
		if !done.Deadline.IsZero() {
			cut = fmt.Sprintf(", and what is left is cut at %s", done.Deadline.Local().Format(time.TimeOnly))
		}
		return fmt.Errorf("fairlead: interrupted; %s/%s goes on draining%s. To undo that: fairlead enable %s/%s", done.Pool, done.Backend, cut, done.Pool, done.Backend)
	case errors.As(err, &ended) && ended.Cut:
		return &statusError{exitCut, err}
	}
	return err
}
