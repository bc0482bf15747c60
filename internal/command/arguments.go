package command

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"fairlead/internal/spelling"
)

// systemConfig is where an installed fairlead has its file; without it the one in the present directory is meant.
const (
	systemConfig = "/etc/fairlead/config.toml"
	localConfig  = "config.toml"
)

// places are the flags that go with nearly every command, before it or after it.
func places() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, TakesFile: true,
			Usage: "`FILE` with the configuration (default: " + systemConfig + " if it exists, else " + localConfig + ")"},
		&cli.StringFlag{Name: "socket", TakesFile: true,
			Usage: "control socket's `PATH` (default: admin.socket of the configuration)"},
	}
}

// given is the value of a flag that was given to the command, or before it; else "".
func given(c *cli.Context, name string) string {
	for _, c := range c.Lineage() {
		if c.Command != nil && slices.Contains(c.LocalFlagNames(), name) {
			return c.String(name)
		}
	}
	return ""
}

// configPath is the configuration file to use.
func configPath(c *cli.Context) string {
	if path := given(c, "config"); path != "" {
		return path
	}
	if _, err := os.Stat(systemConfig); err == nil {
		return systemConfig
	}
	return localConfig
}

// noArguments refuses arguments where none are taken. To the program itself one is a command that does not exist.
func noArguments(c *cli.Context) error {
	word := c.Args().First()
	if !c.Args().Present() {
		return nil
	}
	if c.Command.Name == c.App.Name || c.Command.Name == "" {
		return usage(unknown("command", word, commandNames(c.App.Commands), c.App.Name+" help"))
	}
	return usage(fmt.Errorf("fairlead: %s takes no argument such as %q", c.Command.Name, word))
}

// unknown tells of a word that means nothing, and what may have been meant.
func unknown(what, word string, candidates []string, help string) error {
	if near := spelling.Nearest(word, candidates); near != "" {
		return fmt.Errorf("fairlead: no such %s: %q: did you mean %q?", what, word, near)
	}
	return fmt.Errorf("fairlead: no such %s: %q: see %s", what, word, help)
}

func commandNames(commands []*cli.Command) []string {
	names := []string{"help"}
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return names
}

// usageError is what is wrong with flags.
func usageError(c *cli.Context, err error, _ bool) error {
	return usage(fmt.Errorf("fairlead: %w: see %s --help", err, strings.TrimSpace(c.App.Name+" "+c.Command.Name)))
}

// order puts the flags of a command before its arguments, for people write "drain fe1 --socket x" as well as "drain
// --socket x fe1", and the parser stops at the first argument. It also finds flags that don't exist.
func order(app *cli.App, arguments []string) ([]string, error) {
	ordered := arguments[:1:1]
	rest := arguments[1:]
	flags, _, rest, err := split(app.Name, append(app.Flags, cli.VersionFlag), rest, true)
	if err != nil {
		return nil, err
	}
	ordered = append(ordered, flags...)
	if len(rest) == 0 {
		return ordered, nil
	}
	command := app.Command(rest[0])
	if command == nil {
		return append(ordered, rest...), nil
	}
	flags, words, _, err := split(app.Name+" "+command.Name, command.Flags, rest[1:], false)
	if err != nil {
		return nil, err
	}
	ordered = append(append(ordered, rest[0]), flags...)
	if len(words) > 0 {
		ordered = append(append(ordered, "--"), words...)
	}
	return ordered, nil
}

// split parts flags, with their values, from words. With first it stops before the first word, which begins rest.
func split(command string, known []cli.Flag, arguments []string, first bool) (flags, words, rest []string, err error) {
	for i := 0; i < len(arguments); i++ {
		a := arguments[i]
		switch {
		case a == "--":
			return flags, append(words, arguments[i+1:]...), nil, nil
		case len(a) < 2 || a[0] != '-':
			if first {
				return flags, nil, arguments[i:], nil
			}
			words = append(words, a)
			continue
		}
		typed, _, joined := strings.Cut(a, "=")
		name := strings.TrimLeft(typed, "-")
		flag := findFlag(known, name)
		if flag == nil && !slices.Contains(cli.HelpFlag.Names(), name) {
			return nil, nil, nil, usage(unknown("flag of "+command, typed, flagNames(known), command+" --help"))
		}
		flags = append(flags, a)
		if flag != nil && takesValue(flag) && !joined {
			if i+1 == len(arguments) {
				return nil, nil, nil, usage(fmt.Errorf("%s: %s needs a value", command, a))
			}
			i++
			flags = append(flags, arguments[i])
		}
	}
	return flags, words, nil, nil
}

func findFlag(known []cli.Flag, name string) cli.Flag {
	for _, f := range known {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func flagNames(known []cli.Flag) []string {
	names := []string{"--help"}
	for _, f := range known {
		names = append(names, "--"+f.Names()[0])
	}
	return names
}

func takesValue(f cli.Flag) bool {
	documented, ok := f.(cli.DocGenerationFlag)
	return ok && documented.TakesValue()
}
