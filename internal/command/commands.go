package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"fairlead/internal/config"
	"fairlead/internal/control"
	"fairlead/internal/terminal"
)

// These commands talk to a running fairlead.

func statusCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	style := terminal.StyleOf(os.Stdout)
	if c.Bool("watch") {
		if c.Bool("json") {
			return usage(errors.New("fairlead: --watch is for people, and --json is not: choose one"))
		}
		ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
		defer stop()
		return control.Watch(ctx, client, os.Stdout, style, terminal.IsTerminal(os.Stdout))
	}
	status, err := client.Status(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(status)
	}
	return control.ShowStatus(os.Stdout, style, status, time.Now())
}

func sessionsCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	all, err := client.Sessions(c.Context)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(all)
	}
	return control.ShowSessions(os.Stdout, terminal.StyleOf(os.Stdout), all)
}

func killCommand(c *cli.Context) error {
	word, err := oneArgument(c, "ID")
	if err != nil {
		return err
	}
	id, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return usage(fmt.Errorf("fairlead: %q is no number of a session: see fairlead sessions", word))
	}
	client, err := clientOf(c)
	if err != nil {
		return err
	}
	killed, err := client.Kill(c.Context, id)
	var unknown *control.BackendError
	if errors.As(err, &unknown) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	fmt.Printf("session %d of %s on %s/%s is ended\n", killed.ID, killed.Client, killed.Pool, killed.Backend)
	return nil
}

// controlClient is clientOf for a command without arguments.
func controlClient(c *cli.Context) (*control.Client, error) {
	if err := noArguments(c); err != nil {
		return nil, err
	}
	return clientOf(c)
}

// clientOf finds the control socket: as --socket says, or the configuration.
func clientOf(c *cli.Context) (*control.Client, error) {
	if path := given(c, "socket"); path != "" {
		return control.NewClient(path), nil
	}
	file := configPath(c)
	path, err := config.Socket(file)
	switch {
	case errors.Is(err, os.ErrNotExist) && given(c, "config") == "":
		path = config.Default().Admin.Socket
	case err != nil:
		return nil, usage(fmt.Errorf("%w: name the socket with --socket", err))
	case path == "":
		return nil, usage(fmt.Errorf("fairlead: %s has no control socket (admin.socket is empty)", file))
	}
	return control.NewClient(path), nil
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// oneArgument is a command's only argument.
func oneArgument(c *cli.Context, name string) (string, error) {
	if c.Args().Len() != 1 {
		return "", usage(fmt.Errorf("fairlead: %s takes one %s: see fairlead %s --help", c.Command.Name, name, c.Command.Name))
	}
	return c.Args().First(), nil
}
