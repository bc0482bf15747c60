package upgrade

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Program finds the file to start in an upgrade: what stands at the path by which this process was started, and not the file
// that it runs, which may have been replaced, or be where a symbolic link pointed once. It is called at the start, while the
// two are the same.
func Program() (string, error) {
	running, err := os.Executable() // without its symbolic links, and without " (deleted)" (proc_pid_exe(5))
	if err != nil {
		return "", fmt.Errorf("upgrade: %w", err)
	}
	return startedAs(os.Args[0], running), nil
}

// startedAs is the path by which a process was started under a name, if that leads to the file that it runs; else that file.
func startedAs(name, running string) string {
	path := name
	if !strings.ContainsRune(name, filepath.Separator) {
		found, err := exec.LookPath(name)
		if err != nil {
			return running
		}
		path = found
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return running
	}
	here, err := os.Stat(path)
	if err != nil {
		return running
	}
	if there, err := os.Stat(running); err == nil && !os.SameFile(here, there) {
		return running
	}
	return path
}
