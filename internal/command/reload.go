package command

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"fairlead/internal/control"
	"fairlead/internal/terminal"
)

// exitDiffers is the exit status of diff --exit-code where a reload would change something.
const exitDiffers = 3

var exitCodeFlag = &cli.BoolFlag{Name: "exit-code", Usage: "exit with status 3 if a reload would change something"}

func reloadCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	done, err := client.Reload(c.Context)
	if err != nil {
		return reloadError(err)
	}
	return showReloaded(c, done, "reloaded, with")
}

func diffCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	found, err := client.Diff(c.Context)
	if err != nil {
		return reloadError(err)
	}
	if err := showReloaded(c, found, "a reload would make"); err != nil {
		return err
	}
	if c.Bool("exit-code") && len(found.Changes) > 0 {
		return &statusError{exitDiffers, errUnfit}
	}
	return nil
}

// reloadError gives what is wrong with the file the exit status of that.
func reloadError(err error) error {
	var faulty *control.FileError
	if errors.As(err, &faulty) {
		return usage(err)
	}
	return err
}

// showReloaded prints changes, each on a line of its own; did says what was or would be done.
func showReloaded(c *cli.Context, done control.Reloaded, did string) error {
	for _, w := range done.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w)
	}
	if c.Bool("json") {
		return printJSON(done)
	}
	if len(done.Changes) == 0 {
		fmt.Printf("%s: nothing differs from what is in force\n", done.File)
		return nil
	}
	fmt.Printf("%s: %s %s\n", done.File, did, terminal.Plural(len(done.Changes), "change"))
	for _, change := range done.Changes {
		fmt.Println("  " + change.String())
	}
	return nil
}
