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

// aMessage bounds the time in which a message that has begun must be through. When it is over, what is there is read
// and what there is room for is written all the same: the machine may have stood still, and nobody be to blame.
const aMessage = 5 * time.Second

// ErrPaused is a Receive that Pause has ended.
var ErrPaused = errors.New("upgrade: paused")

// Line is one end of what connects two processes. Messages may be sent by several goroutines, and received by one.
type Line struct {
	conn *net.UnixConn
	due  time.Duration // aMessage

	sending sync.Mutex
	rest    []byte // of a message for which there was no time; it goes before the next one

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
	return &Line{conn: conn, due: aMessage}, nil
}

// Send sends a message, and duplicates of descriptors. After os.ErrDeadlineExceeded, for the other process does not read, the
// message is lost or comes late, and the line is as good as before, unless there were descriptors.
func (l *Line) Send(m Message, with ...syscall.Conn) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	text, err := m.encode(len(with))
	if err != nil {
		return err
	}
	if err := l.write(text); err != nil {
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

// write writes a message, after what is left of the one before.
func (l *Line) write(message []byte) error {
	if len(l.rest) > 0 {
		left, err := l.push(l.rest)
		if l.rest = left; err != nil {
			return err
		}
	}
	left, err := l.push(message)
	if len(left) < len(message) {
		l.rest = left
	}
	return err
}

// push writes, and returns what is left.
func (l *Line) push(text []byte) (left []byte, err error) {
	if err := l.conn.SetWriteDeadline(time.Now().Add(l.due)); err != nil {
		return text, err
	}
	for {
		n, err := l.conn.Write(text)
		if text = text[n:]; !l.lateWrite(err) {
			return text, err
		}
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
	m, n, err := decode(io.MultiReader(first, lateReader{l}))
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
	if err != nil && l.mu.paused {
		return nil, ErrPaused
	}
	if l.lateRead(err) {
		_, err = l.conn.Read(first.b[:])
	}
	if err != nil {
		return nil, err
	}
	l.mu.within = true
	return &first, l.conn.SetReadDeadline(time.Now().Add(l.due))
}

// lateRead tells whether something can be read although the time for it is over, and gives new time then; lateWrite likewise.
func (l *Line) lateRead(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && l.Unread() && l.conn.SetReadDeadline(time.Now().Add(aMessage)) == nil
}

func (l *Line) lateWrite(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && l.ready(unix.POLLOUT) && l.conn.SetWriteDeadline(time.Now().Add(aMessage)) == nil
}

// lateReader reads a message.
type lateReader struct{ *Line }

func (l lateReader) Read(p []byte) (int, error) {
	n, err := l.conn.Read(p)
	if n == 0 && l.lateRead(err) {
		return l.conn.Read(p)
	}
	return n, err
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
func (l *Line) Unread() bool { return l.ready(unix.POLLIN) }

// ready tells what poll(2) does.
func (l *Line) ready(events int16) bool {
	raw, err := l.conn.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, 0)
			if some = n > 0; err != unix.EINTR {
				return
			}
		}
	})
	return some
}

// Close gives the line up: the other process reads its end.
func (l *Line) Close() { _ = l.conn.Close() }

// SyscallConn makes a line something that Send can hand over.
func (l *Line) SyscallConn() (syscall.RawConn, error) { return l.conn.SyscallConn() }
