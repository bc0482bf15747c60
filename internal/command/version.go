package command

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is the one that Run was given.
var version = "dev"

// revision is the commit that the program was built from, with -dirty when files had been changed; empty when unknown.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var commit, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if commit == "" {
		return ""
	}
	return commit[:min(len(commit), 12)] + dirty
}

// build tells everything about the build in one line.
func build() string {
	parts := []string{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if r := revision(); r != "" {
		parts = append([]string{r}, parts...)
	}
	return fmt.Sprintf("fairlead %s (%s)", version, strings.Join(parts, ", "))
}
