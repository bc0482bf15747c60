package command

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"fairlead/internal/check"
	"fairlead/internal/config"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

// errUnfit ends a command that has already printed what is wrong.
var errUnfit = errors.New("")

func checkCommand(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Bool("json") && !c.Bool("probe") {
		return usage(errors.New("fairlead: --json goes with --probe"))
	}
	file, err := config.Load(configPath(c))
	if err != nil {
		return usage(err)
	}
	for _, w := range file.Warnings {
		fmt.Fprintln(os.Stderr, "warning:", w.Error())
	}
	if !c.Bool("json") {
		fmt.Println(check.Summary(file))
	}
	if !c.Bool("probe") {
		return nil
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return show(c, check.Backends(ctx, file))
}

var probeFlags = []cli.Flag{
	&cli.StringFlag{Name: "type", Value: probe.TypeMySQL, Usage: "mysql: it must greet; tcp: it must take connections; http: --http alone is asked"},
	&cli.StringFlag{Name: "user", Usage: "log in as `USER`"},
	&cli.StringFlag{Name: "password-file", Usage: "`FILE` with the user's password", TakesFile: true},
	&cli.StringFlag{Name: "query", Usage: "ask this `SQL` after the login"},
	&cli.StringFlag{Name: "expect", Usage: "`TEXT` that the first column of the query's first row must be"},
	&cli.StringFlag{Name: "tls", Usage: "true, skip-verify, or a `FILE` with the certificates to trust"},
	&cli.StringFlag{Name: "http", Usage: "`URL` to ask as well, such as http://{host}:8030/api/health"},
	&cli.StringFlag{Name: "http-user", Usage: "Basic credentials' `USER` for it"},
	&cli.StringFlag{Name: "http-password-file", Usage: "`FILE` with that user's password", TakesFile: true},
	&cli.BoolFlag{Name: "bootstrap", Usage: "ask /api/bootstrap there too"},
	&cli.BoolFlag{Name: "leader", Usage: "read /metrics there too, which tells the leader"},
	&cli.StringFlag{Name: "send-proxy", Usage: "begin with a PROXY header of this `VERSION`, v1 or v2, as the server may want"},
	&cli.DurationFlag{Name: "timeout", Value: 3 * time.Second, Usage: "`TIME` that the probe may take in all"},
	jsonFlag,
}

func probeCommand(c *cli.Context) error {
	address, err := oneArgument(c, "HOST:PORT")
	if err != nil {
		return err
	}
	asked, err := probeConfig(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := check.Address(ctx, address, asked)
	var bad *check.AddressError
	switch {
	case errors.As(err, &bad):
		return usage(fmt.Errorf("fairlead: %w", err))
	case err != nil:
		return fmt.Errorf("fairlead: %w", err)
	}
	return show(c, []check.Finding{found})
}

// probeConfig makes a probe's configuration of flags.
func probeConfig(c *cli.Context) (probe.Config, error) {
	asked := probe.Config{Type: c.String("type"), Timeout: c.Duration("timeout"), User: c.String("user"),
		PasswordFile: c.String("password-file"), Query: c.String("query"), TLS: c.String("tls"), HTTP: c.String("http"),
		HTTPUser: c.String("http-user"), HTTPPasswordFile: c.String("http-password-file"), Bootstrap: c.Bool("bootstrap"),
		LeaderFromMetrics: c.Bool("leader"), SendProxy: c.String("send-proxy")}
	if c.IsSet("expect") {
		text := c.String("expect")
		asked.Expect = &text
	}
	if asked.Timeout <= 0 {
		return probe.Config{}, usage(errors.New("fairlead: --timeout must be more than 0"))
	}
	err := asked.Validate()
	if err == nil {
		return asked, nil
	}
	var lines []string
	for line := range strings.Lines(err.Error()) { // keys are flags here
		key, problem, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		key = strings.ReplaceAll(key, "_", "-")
		if key == "leader-from-metrics" {
			key = "leader"
		}
		lines = append(lines, fmt.Sprintf("fairlead: --%s %s", key, problem))
	}
	return probe.Config{}, usage(errors.New(strings.Join(lines, "\n")))
}

// show prints findings; the error only carries the exit status of findings that are not good.
func show(c *cli.Context, all []check.Finding) error {
	var err error
	if c.Bool("json") {
		err = printJSON(all)
	} else {
		err = check.Show(os.Stdout, terminal.StyleOf(os.Stdout), all)
	}
	if err != nil {
		return err
	}
	for _, f := range all {
		if !f.Good() {
			return errUnfit
		}
	}
	return nil
}
