// Package command is the command line of fairlead: each command is a few lines that call another package.
package command

import (
	"errors"
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/daemon"
	"fairlead/internal/upgrade"
)

// Exit statuses of every command.
const (
	exitFailed = 1 // something failed while running
	exitUsage  = 2 // bad usage or configuration: trying again changes nothing
	exitCut    = 3 // the deadline of a drain that was waited for has cut sessions
)

// Run is the program, given its version and its arguments with its own name before them: it tells of an error on standard
// error, and returns the exit status.
func Run(built string, arguments []string) int {
	version = built
	return run(arguments)
}

func run(arguments []string) int {
	app := newApp()
	ordered, err := order(app, arguments)
	if err == nil {
		err = app.Run(ordered)
	}
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(os.Stderr, text)
	}
	var status *statusError
	if errors.As(err, &status) {
		return status.code
	}
	return exitFailed
}

// statusError is an error with an exit status of its own.
type statusError struct {
	code int
	err  error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// usage makes an error one of usage or configuration; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &statusError{exitUsage, err}
}

func newApp() *cli.App {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "as the command version"}
	cli.VersionPrinter = func(*cli.Context) { fmt.Println(build()) }
	return &cli.App{
		Name:  "fairlead",
		Usage: "leads MySQL-protocol clients to healthy servers",
		Description: "Try it without a configuration: fairlead demo\n\n" +
			"Exit status: 0 when all is well, 1 when something failed while running (or a backend that was asked about is\n" +
			"not fit), 2 for bad usage or a bad configuration, an address that can't be listened on among them, 3 when the\n" +
			"deadline of a drain that was waited for has cut sessions.",
		Version:        version,
		Flags:          places(),
		Action:         runCommand,
		Commands:       finished(commands()),
		OnUsageError:   usageError,
		ExitErrHandler: func(*cli.Context, error) {}, // run does it
	}
}

var (
	watchFlag = &cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "refresh about each second until Ctrl-C"}
	jsonFlag  = &cli.BoolFlag{Name: "json", Usage: "print JSON, whose fields stay as they are"}
)

func commands() []*cli.Command {
	return []*cli.Command{
		{
			Name:   "run",
			Usage:  "serve clients; this is what happens without a command",
			Flags:  places(),
			Action: runCommand,
		},
		{
			Name:   "demo",
			Usage:  "show all of it on this machine, with stand-in front ends",
			Flags:  demoFlags,
			Action: demoCommand,
		},
		{
			Name:   "check",
			Usage:  "tell whether the configuration is right, and, with --probe, whether its backends are fit",
			Flags:  append(places(), &cli.BoolFlag{Name: "probe", Usage: "probe each backend once"}, jsonFlag),
			Action: checkCommand,
		},
		{
			Name:      "probe",
			Usage:     "probe one server, without a configuration",
			ArgsUsage: "HOST:PORT",
			Flags:     probeFlags,
			Action:    probeCommand,
		},
		{
			Name:      "discover",
			Usage:     "tell whom the discovery of pools would find, and which listeners would lead there",
			ArgsUsage: "[POOL]",
			Flags:     append(places(), dryRunFlag, jsonFlag),
			Action:    discoverCommand,
		},
		{
			Name:   "status",
			Usage:  "tell what a running fairlead does",
			Flags:  append(places(), watchFlag, jsonFlag),
			Action: statusCommand,
		},
		{
			Name:   "sessions",
			Usage:  "list the sessions under way",
			Flags:  append(places(), sortFlag, limitFlag, watchFlag, jsonFlag),
			Action: sessionsCommand,
		},
		{
			Name:      "kill",
			Usage:     "end one session at once",
			ArgsUsage: "ID (as the command sessions tells it)",
			Flags:     places(),
			Action:    killCommand,
		},
		{
			Name:   "upgrade",
			Usage:  "start the binary anew, and leave everything but the present sessions to the new process",
			Flags:  append(places(), upgradeTimeoutFlag),
			Action: upgradeCommand,
		},
		orderCommand(balancer.Drain, "let no new sessions onto a backend; those that it has go on"),
		orderCommand(balancer.Disable, "take a backend out of service; sessions that it has go on"),
		orderCommand(balancer.Enable, "undo drain or disable: the backend's health decides again"),
		{
			Name:   "reload",
			Usage:  "have a running fairlead read its file again and put it in force: all of it or, with an error, nothing",
			Flags:  append(places(), jsonFlag),
			Action: reloadCommand,
		},
		{
			Name:   "diff",
			Usage:  "tell what a reload would change",
			Flags:  append(places(), jsonFlag, exitCodeFlag),
			Action: diffCommand,
		},
		{
			Name:   "version",
			Usage:  "tell which build this is",
			Action: versionCommand,
		},
	}
}

// finished gives all commands what they have in common.
func finished(all []*cli.Command) []*cli.Command {
	for _, c := range all {
		c.OnUsageError = usageError
		c.HideHelpCommand = true // there is --help
	}
	return all
}

func runCommand(c *cli.Context) error {
	predecessor, err := upgrade.Inherit()
	if err != nil {
		return err
	}
	err = serve(c, predecessor)
	if err != nil {
		predecessor.Fail(err)
	}
	return err
}

// serve serves clients until the end, in the place of the process that has started this one, if one has.
func serve(c *cli.Context, predecessor *upgrade.Predecessor) error {
	if err := noArguments(c); err != nil {
		return err
	}
	path, socket := configPath(c), given(c, "socket")
	load := func() (*config.File, error) {
		file, err := config.Load(path)
		if err == nil && socket != "" {
			file.Admin.Socket = socket
		}
		return file, err
	}
	file, err := load()
	if errors.Is(err, os.ErrNotExist) && given(c, "config") == "" {
		err = fmt.Errorf("%w (to look around without one: %s demo)", err, c.App.Name)
	}
	if err != nil {
		return usage(err)
	}
	program, err := upgrade.Program()
	if err != nil {
		fmt.Fprintln(os.Stderr, err) // it serves, and can't be upgraded
	}
	err = daemon.Run(file, daemon.Options{Version: version, Revision: revision(), Load: load, Output: os.Stderr, Program: program, Predecessor: predecessor})
	var exit *daemon.ExitError
	if errors.As(err, &exit) {
		return &statusError{exit.Code, err}
	}
	var listen daemon.ListenErrors
	if errors.As(err, &listen) {
		return usage(err)
	}
	return err
}

func versionCommand(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	fmt.Println(build())
	return nil
}
