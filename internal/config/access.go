package config

import (
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
)

// socketMode reads the mode of the control socket, an octal number. Owner and group may be let in, and nobody else: who can
// open the socket may give orders.
func (s *section) socketMode(key string, byDefault fs.FileMode) fs.FileMode {
	word := s.text(key, fmt.Sprintf("%04o", byDefault))
	mode, err := strconv.ParseUint(word, 8, 32)
	switch {
	case err != nil || mode > 0o777:
		s.problem(key, fmt.Sprintf("%s must be an octal number between quotes, such as \"0660\", not %q", key, word), "")
	case mode&0o007 != 0:
		s.problem(key, fmt.Sprintf("%s is %q, which lets everybody on this host give orders", key, word), `choose "0660", and let people in by socket_group`)
	case mode&0o600 != 0o600:
		s.problem(key, fmt.Sprintf("%s is %q, which keeps the socket's own owner out", key, word), `choose "0660" or "0600"`)
	default:
		return fs.FileMode(mode)
	}
	return byDefault
}

// socketOwner finds out whether this host knows the user and the group that are to have the control socket.
func (d *document) socketOwner(a Admin) {
	if _, err := UserID(a.SocketOwner); err != nil {
		d.problem("admin.socket_owner", "socket_owner: "+err.Error(), "make the user, or give its number")
	}
	if _, err := GroupID(a.SocketGroup); err != nil {
		d.problem("admin.socket_group", "socket_group: "+err.Error(), "make the group (groupadd), or give its number")
	}
}

// Unchanged is what UserID and GroupID return for an empty name, and what chown(2) takes for "as it is".
const Unchanged = -1

// UserID is the number of a user that is given by name or number.
func UserID(name string) (int, error) {
	return number(name, func() (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("this host knows no user %q", name)
		}
		return u.Uid, nil
	})
}

// GroupID is the number of a group that is given by name or number.
func GroupID(name string) (int, error) {
	return number(name, func() (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", fmt.Errorf("this host knows no group %q", name)
		}
		return g.Gid, nil
	})
}

func number(name string, lookup func() (string, error)) (int, error) {
	if name == "" {
		return Unchanged, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	digits, err := lookup()
	if err != nil {
		return Unchanged, err
	}
	return strconv.Atoi(digits)
}
