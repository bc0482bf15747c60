package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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
		return watch(c, style, func(ctx context.Context, to io.Writer, _ int) error {
			status, err := client.Status(ctx)
			if err != nil {
				return err
			}
			return control.ShowStatus(to, style, status, time.Now())
		})
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

// watch draws again and again until Ctrl-C.
func watch(c *cli.Context, style terminal.Style, draw func(ctx context.Context, to io.Writer, rows int) error) error {
	if c.Bool("json") {
		return usage(errors.New("fairlead: --watch is for people, and --json is not: choose one"))
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	screen := control.Screen{To: os.Stdout, Style: style}
	if terminal.IsTerminal(os.Stdout) {
		screen.Rows = func() int { return terminal.Rows(os.Stdout) }
	}
	return control.Watch(ctx, screen, draw)
}

var (
	sortFlag = &cli.StringFlag{Name: "sort", Value: string(control.ByID),
		Usage: "`ORDER`: id, or those first with the most bytes, the greatest age, the longest idle time: bytes, age, idle"}
	limitFlag = &cli.IntFlag{Name: "limit", Usage: "list so many at most `NUMBER`", DefaultText: "all, or with --watch what fits the screen"}
)

func sortWords() []string {
	var all []string
	for _, s := range control.Sorts {
		all = append(all, string(s))
	}
	return all
}

func sessionsCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	asked := control.SessionsQuery{Sort: control.Sort(c.String("sort")), Limit: c.Int("limit")}
	if !slices.Contains(control.Sorts, asked.Sort) {
		return usage(unknown("order of sessions", c.String("sort"), sortWords(), "fairlead sessions --help"))
	}
	if asked.Limit < 0 {
		return usage(errors.New("fairlead: --limit must not be negative; 0 lists all"))
	}
	style := terminal.StyleOf(os.Stdout)
	if c.Bool("watch") {
		return watch(c, style, func(ctx context.Context, to io.Writer, rows int) error {
			fitting := asked
			if fitting.Limit == 0 {
				fitting.Limit = max(0, rows-2) // without the titles and the line at the end
			}
			some, total, err := client.Sessions(ctx, fitting)
			if err != nil {
				return err
			}
			return control.ShowSessions(to, style, some, total)
		})
	}
	some, total, err := client.Sessions(c.Context, asked)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(some)
	}
	return control.ShowSessions(os.Stdout, style, some, total)
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
