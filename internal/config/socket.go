package config

import (
	"fmt"

	"github.com/BurntSushi/toml"
)

// Socket reads nothing but the path of the control socket, for commands that look for a running fairlead: its
// file may have faults by now, for it was changed since. A file that is not there wraps fs.ErrNotExist.
func Socket(path string) (string, error) {
	data, err := read(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	var tree struct {
		Admin struct{ Socket *string }
	}
	if err := toml.Unmarshal(data, &tree); err != nil {
		return "", fmt.Errorf("config: can't read admin.socket from %s: %w", path, err)
	}
	if tree.Admin.Socket == nil {
		return Default().Admin.Socket, nil
	}
	d := document{name: path}
	return d.resolve(*tree.Admin.Socket), nil
}
