package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestListenMakesTheDirectory(t *testing.T) {
	path := filepath.Join(shortDir(t), "run", "fairlead", "s")
	l, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != usualMode {
		t.Errorf("the socket: %v, %v", info, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestListenReplacesADeadSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false) // as when the process is killed
	dead.Close()
	l, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenRefusals(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	strange, err := net.Listen("unix", filepath.Join(dir, "strange"))
	if err != nil {
		t.Fatal(err)
	}
	defer strange.Close()
	go hangUp(strange)
	for path, want := range map[string]string{
		file:                                     "which is no socket",
		filepath.Join(file, "s"):                 "make the directory",
		filepath.Join(dir, "strange"):            "a running process has it: end it",
		"/" + strings.Repeat("x", longestPath+1): "choose a shorter one",
	} {
		if l, err := Listen(path, Access{}); err == nil {
			l.Close()
			t.Errorf("%s: no error", path)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v\nwants %q", path, err, want)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file that is no socket: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "strange"), Access{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v", err)
	}
}

// hangUp is somebody who is no fairlead, until l is closed.
func hangUp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}

// TestListenOnce: of many who find a dead socket at the same time one gets it.
func TestListenOnce(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	const many = 8
	got := make(chan net.Listener, many)
	for range many {
		go func() {
			l, err := Listen(path, Access{})
			if err != nil {
				l = nil
				if !errors.Is(err, ErrInUse) {
					t.Error(err)
				}
			} else {
				go hangUp(l)
			}
			got <- l
		}()
	}
	winners := 0
	for range many {
		if l := <-got; l != nil {
			winners++
			defer l.Close()
		}
	}
	if winners != 1 {
		t.Errorf("%d of them listen", winners)
	}
}

// TestListenAccess: mode, owner and group are as told, and what can't be had is an error that leaves nothing behind.
func TestListenAccess(t *testing.T) {
	root := os.Geteuid() == 0
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	mine := os.Getegid()
	if len(groups) > 0 {
		mine = groups[len(groups)-1]
	}
	if root {
		mine = 12345
	}
	for name, c := range map[string]struct {
		access       Access
		mode         fs.FileMode
		owner, group int // -1 for whatever it is
		want         string
	}{
		"the zero one": {Access{}, 0o660, os.Geteuid(), -1, ""},
		"a mode":       {Access{Mode: 0o600}, 0o600, os.Geteuid(), -1, ""},
		"a group":      {Access{Group: mine, SetGroup: true}, 0o660, os.Geteuid(), mine, ""},
		"an owner":     {Access{Owner: 54321, SetOwner: true}, 0o660, 54321, -1, "that takes root"},
	} {
		path := filepath.Join(shortDir(t), "s")
		l, err := Listen(path, c.access)
		if c.want != "" && !root {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: the socket is left behind: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		s := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm() != c.mode || int(s.Uid) != c.owner || c.group >= 0 && int(s.Gid) != c.group {
			t.Errorf("%s: mode %v, owner %d, group %d", name, info.Mode(), s.Uid, s.Gid)
		}
		l.Close()
	}
}

// TestListenInALockedDirectory: whoever else holds a lock on the socket's directory, as anybody can in /tmp, does not hang the start.
func TestListenInALockedDirectory(t *testing.T) {
	dir := shortDir(t)
	d, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(filepath.Join(dir, "s"), Access{}); err == nil || !strings.Contains(err.Error(), "holds a lock") {
		t.Errorf("with the lock held: %v", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(filepath.Join(dir, "s"), Access{})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
