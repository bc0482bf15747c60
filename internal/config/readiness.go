package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// readinessFile finds out whether a readiness file could be written. It does not try: the file may be that of a fairlead
// that is running.
func (d *document) readinessFile(name string) {
	const path = "admin.readiness_file"
	if name == "" || d.isBlamed(path) {
		return
	}
	if err := writable(name); err != nil {
		d.problem(path, "readiness_file: "+err.Error(), "name a file that fairlead may write, in a directory that is there")
	}
}

// stateFile finds out whether a state file could be replaced.
func (d *document) stateFile(name string) {
	const path = "admin.state_file"
	if name == "" || d.isBlamed(path) {
		return
	}
	err := writable(name)
	if err == nil {
		err = access(filepath.Dir(name))
	}
	if err != nil {
		d.problem(path, "state_file: "+err.Error(), "name a file in a directory that is there and that fairlead may write to")
	}
}

// logFile finds out whether a log could be appended to. Devices, such as /dev/stdout, are left to the start.
func (d *document) logFile(name string) {
	const path = "log.file"
	if name == "" || d.isBlamed(path) || strings.HasPrefix(name, "/dev/") {
		return
	}
	if err := writable(name); err != nil {
		d.problem(path, "file: "+err.Error(), "name a file that fairlead may write, in a directory that is there")
	}
}

// writable tells why a file can't be written, or made where there is none.
func writable(name string) error {
	info, err := os.Stat(name)
	if err == nil {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no ordinary file", name)
		}
		return access(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(name)
	if info, err = os.Stat(dir); err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	return access(dir)
}

// access tells why this process can't write to what is there.
func access(name string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}
