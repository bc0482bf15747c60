package upgrade

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// descriptorsAtOnce is how many go with one byte; Linux takes 253 (SCM_MAX_FD).
	descriptorsAtOnce = 64
	// aMessage bounds the time in which a message that has begun must be through.
	aMessage = 5 * time.Second
)

// ErrPaused is a Receive that Pause has ended.
var ErrPaused = errors.New("upgrade: paused")

// Line is one end of what connects two processes. Messages may be sent by several goroutines, and received by one.
type Line struct {
	conn    *net.UnixConn
	sending sync.Mutex

	mu struct {
		sync.Mutex
		within bool // a message: its rest must be read
		paused bool
	}
}

// pair makes a line, and the file of its other end.
func pair() (*Line, *os.File, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("upgrade: %w", err)
	}
	unix.CloseOnExec(ends[0])
	unix.CloseOnExec(ends[1])
	theirs := os.NewFile(uintptr(ends[1]), "line")
	ours := os.NewFile(uintptr(ends[0]), "line")
	defer ours.Close()
	l, err := newLine(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return l, theirs, nil
}

// newLine makes a line of a descriptor, and takes a duplicate.
func newLine(f *os.File) (*Line, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	conn, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%w: the line is no Unix socket", ErrProtocol)
	}
	return &Line{conn: conn}, nil
}

// Send sends a message, and duplicates of descriptors.
func (l *Line) Send(m Message, with ...syscall.Conn) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	text, err := m.encode(len(with))
	if err != nil {
		return err
	}
	if err := l.conn.SetWriteDeadline(time.Now().Add(aMessage)); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	if _, err := l.conn.Write(text); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	for len(with) > 0 {
		n := min(len(with), descriptorsAtOnce)
		if err := l.sendDescriptors(with[:n]); err != nil {
			return err
		}
		with = with[n:]
	}
	return nil
}

func (l *Line) sendDescriptors(of []syscall.Conn) error {
	files, err := Duplicates(of)
	if err != nil {
		return err
	}
	defer closeAll(files)
	descriptors := make([]int, len(files))
	for i, f := range files {
		descriptors[i] = int(f.Fd())
	}
	if _, _, err := l.conn.WriteMsgUnix([]byte{0}, unix.UnixRights(descriptors...), nil); err != nil {
		return fmt.Errorf("upgrade: hand over sockets: %w", err)
	}
	return nil
}

// Duplicates duplicates descriptors. They stay non-blocking, which package net would change for a moment.
func Duplicates(of []syscall.Conn) (files []*os.File, err error) {
	for _, c := range of {
		raw, err := c.SyscallConn()
		if err == nil {
			failed := raw.Control(func(fd uintptr) {
				var n int
				if n, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
					files = append(files, os.NewFile(uintptr(n), "socket"))
				}
			})
			err = errors.Join(failed, err)
		}
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("upgrade: duplicate a socket: %w", err)
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Receive returns the next message with its descriptors, which are the caller's to close. Errors: ErrPaused, io.EOF when the
// other process has ended, os.ErrDeadlineExceeded, ErrProtocol, the kernel's.
func (l *Line) Receive(deadline time.Time) (Message, []*os.File, error) {
	first, err := l.begin(deadline)
	if err != nil {
		return Message{}, nil, err
	}
	defer l.finish()
	m, n, err := decode(io.MultiReader(first, l.conn))
	if err != nil {
		return Message{}, nil, err
	}
	files, err := l.receiveDescriptors(n)
	if err != nil {
		return Message{}, nil, err
	}
	return m, files, nil
}

// begin waits for the first byte of a message.
func (l *Line) begin(deadline time.Time) (io.Reader, error) {
	l.mu.Lock()
	if l.mu.paused {
		l.mu.Unlock()
		return nil, ErrPaused
	}
	err := l.conn.SetReadDeadline(deadline)
	l.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	var first byteReader
	_, err = l.conn.Read(first.b[:])
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.mu.within = true
		return &first, l.conn.SetReadDeadline(time.Now().Add(aMessage))
	case l.mu.paused:
		return nil, ErrPaused
	}
	return nil, err
}

// byteReader reads one byte.
type byteReader struct {
	b    [1]byte
	read bool
}

func (r *byteReader) Read(p []byte) (int, error) {
	if r.read || len(p) == 0 {
		return 0, io.EOF
	}
	r.read = true
	return copy(p, r.b[:]), nil
}

func (l *Line) finish() {
	l.mu.Lock()
	l.mu.within = false
	l.mu.Unlock()
}

// Pause ends Receive between two messages, so that another process can go on to receive; Unpause undoes that.
func (l *Line) Pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.paused = true
	if !l.mu.within {
		_ = l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Unpause lets Receive work again.
func (l *Line) Unpause() {
	l.mu.Lock()
	l.mu.paused = false
	l.mu.Unlock()
}

// Unread tells whether there is something to receive, the end of the other process among that.
func (l *Line) Unread() bool {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	_ = raw.Control(func(fd uintptr) {
		for {
			ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if some = ready > 0; err != unix.EINTR {
				return
			}
		}
	})
	return some
}

func (l *Line) receiveDescriptors(n int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	space := make([]byte, unix.CmsgSpace(4*descriptorsAtOnce))
	for len(files) < n {
		var carrier [1]byte
		read, control, flags, _, err := l.conn.ReadMsgUnix(carrier[:], space)
		switch {
		case err != nil:
			return files, fmt.Errorf("upgrade: take sockets over: %w", err)
		case read == 0:
			return files, io.ErrUnexpectedEOF
		}
		before := len(files)
		if files, err = appendDescriptors(files, space[:control]); err != nil {
			return files, err
		}
		if flags&unix.MSG_CTRUNC != 0 || len(files)-before != min(n-before, descriptorsAtOnce) {
			return files, fmt.Errorf("%w: sockets were lost on the way (is LimitNOFILE or ulimit -n too low?)", ErrProtocol)
		}
	}
	return files, nil
}

func appendDescriptors(files []*os.File, control []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return files, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	for i := range messages {
		descriptors, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		for _, fd := range descriptors {
			unix.CloseOnExec(fd) // Linux has done it on arrival; others can't
			files = append(files, os.NewFile(uintptr(fd), "socket"))
		}
	}
	return files, nil
}

// Close gives the line up: the other process reads its end.
func (l *Line) Close() { _ = l.conn.Close() }

// SyscallConn makes a line something that Send can hand over.
func (l *Line) SyscallConn() (syscall.RawConn, error) { return l.conn.SyscallConn() }
