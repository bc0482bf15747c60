// Command fairlead leads MySQL-protocol clients to healthy servers. See README.md.
package main

import (
	"os"

	"fairlead/internal/command"
)

// version is set by the Makefile: -ldflags "-X main.version=…".
var version = "dev"

func main() { os.Exit(command.Run(version, os.Args)) }
