package command

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"fairlead/internal/control"
	"fairlead/internal/daemon"
	"fairlead/internal/terminal"
)

var upgradeTimeoutFlag = &cli.DurationFlag{Name: "timeout", Value: daemon.UpgradeTimeout,
	Usage: "how long the new process may take until it serves; then it is ended, and nothing has changed"}

// upgradeCommand has a running fairlead replaced.
func upgradeCommand(c *cli.Context) error {
	client, err := controlClient(c)
	if err != nil {
		return err
	}
	timeout := c.Duration("timeout")
	if timeout <= 0 || timeout > control.LongestUpgrade {
		return usage(errors.New("fairlead: --timeout must be more than 0 and at most " + control.LongestUpgrade.String()))
	}
	done, err := client.Upgrade(c.Context, timeout)
	if err != nil {
		return err
	}
	fmt.Printf("process %d (%s) serves now; process %d goes on with %s\n", done.PID, done.Version, done.FormerPID,
		terminal.Plural(done.Sessions, "session"))
	return nil
}
