package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// usualMode lets the owner and the group in.
	usualMode = 0o660
	// bornMode is a socket's before its owner and its mode are set: nobody else gets in meanwhile.
	bornMode = 0o600
	// directoryMode is for a socket's directory that was not there: the socket's own mode decides who gets in.
	directoryMode = 0o755
	// longestPath is what fits into a sockaddr_un of Linux beside the NUL at its end (unix(7)); elsewhere it is a few bytes less.
	longestPath = 107
	// knock bounds the wait for a sign of life from whoever has the socket, and for the lock of its directory.
	knock = 2 * time.Second
	// lockAgain is when that lock is tried again, which others of us hold for a moment only.
	lockAgain = 5 * time.Millisecond
)

// ErrInUse is wrapped by the error of Listen when another process answers at the socket.
var ErrInUse = errors.New("a running process has it")

// Access says who may open a control socket. The zero Access is mode 0660, with owner and group as the system makes them.
type Access struct {
	Mode fs.FileMode // 0 means 0660
	// Owner and Group are numbers. 0 is root's, so that they only count with SetOwner and SetGroup.
	Owner, Group       int
	SetOwner, SetGroup bool
}

// Listen opens a control socket for those whom a says. A file left there by a process that is gone is replaced; the directory is made if it is
// missing.
func Listen(path string, a Access) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) { return nil, fmt.Errorf("control socket %s: %w", path, err) }
	if len(path) > longestPath {
		return fail(fmt.Errorf("the path has %d bytes, and the system takes %d: choose a shorter one", len(path), longestPath))
	}
	directory := filepath.Dir(path)
	if err := os.MkdirAll(directory, directoryMode); err != nil {
		return fail(fmt.Errorf("%w: make the directory (install -d -o USER %s), or set admin.socket to a path below one that can be written to, "+
			`or to "" for no control socket`, reason(err), directory))
	}
	l, err := replace(directory, path, a)
	if errors.Is(err, ErrInUse) {
		err = fmt.Errorf("%w%s: end it, or give this one another socket with admin.socket", err, holder(path))
	}
	if err != nil {
		return fail(err)
	}
	return l, nil
}

// replace listens at path, in place of a socket that nobody answers at.
func replace(directory, path string, a Access) (net.Listener, error) {
	unlock, err := lock(directory)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clear(path); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{Control: bornClosed}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: the directory must be writable, or set admin.socket to a path below another one", reason(err))
	}
	if err := a.grant(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Present tells whether there is a socket at path. Without one nobody can reach a process that listens there, for somebody has
// removed its file.
func Present(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}

// Grant gives a socket that another process has opened the mode, the owner and the group that this one wants.
func Grant(path string, a Access) error {
	if err := a.grant(path); err != nil {
		return fmt.Errorf("control socket %s: %w", path, err)
	}
	return nil
}

// bornClosed gives a socket, before it has a name, the mode that it is to have at first. Linux heeds it (unix_bind takes the
// mode of the socket's inode); elsewhere the mode is that of the umask for a moment.
func bornClosed(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), bornMode) })
}

// grant lets in whom it says: first the owner, for the mode means him.
func (a Access) grant(path string) error {
	if err := a.give(path); err != nil {
		return err
	}
	mode := a.Mode
	if mode == 0 {
		mode = usualMode
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("can't have the mode %04o: %w", mode, reason(err))
	}
	return nil
}

// give changes owner and group. Where nothing is to change, chown(2) is not called at all: filters of system calls forbid it.
func (a Access) give(path string) error {
	if !a.SetOwner && !a.SetGroup {
		return nil
	}
	owner, group := -1, -1
	if a.SetOwner {
		owner = a.Owner
	}
	if a.SetGroup {
		group = a.Group
	}
	if err := os.Lchown(path, owner, group); err != nil {
		return fmt.Errorf("can't be given to user %s and group %s: %w: that takes root, or, for the group alone, that this process is a member; "+
			"under systemd also SystemCallFilter=@chown", numbered(a.SetOwner, owner), numbered(a.SetGroup, group), reason(err))
	}
	return nil
}

// numbered is a number for people; one that is not set stays what it is.
func numbered(set bool, n int) string {
	if !set {
		return "(its own)"
	}
	return strconv.Itoa(n)
}

// lock keeps two processes from both finding the same dead socket and taking it from each other.
func lock(directory string) (unlock func(), err error) {
	d, err := os.Open(directory)
	if err != nil {
		return nil, reason(err)
	}
	for over := time.Now().Add(knock); ; time.Sleep(lockAgain) {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { d.Close() }, nil
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			d.Close()
			return nil, fmt.Errorf("lock the directory: %w", err)
		case time.Now().After(over):
			d.Close()
			return nil, errors.New("somebody holds a lock on the directory (lslocks tells who): take a directory of fairlead's own, such as /run/fairlead")
		}
	}
}

// clear removes a socket that nobody answers at.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("there is a file of that name, which is no socket: remove it, or choose another name")
	}
	c, err := net.DialTimeout("unix", path, knock)
	if err == nil {
		c.Close()
		return ErrInUse
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("can't find out who has it: %w", reason(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("left by a process that is gone: %w", reason(err))
	}
	return nil
}

// holder names the fairlead that answers at a socket, if it is one.
func holder(path string) string {
	c := NewClient(path)
	c.http.Timeout = knock
	s, err := c.Status(context.Background())
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (fairlead, process %d, with %s)", s.PID, s.File)
}

// reason is an error without the names of calls and files around it.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
