package splice

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hang is a deadline that only ends a test which would otherwise never end.
const hang = 30 * time.Second

// eachEngine runs a test over all engines, and sees to it that nothing is left of either.
func eachEngine(t *testing.T, test func(t *testing.T, e Engine)) {
	for _, kind := range kinds() {
		t.Run(kind, func(t *testing.T) {
			withEngine(t, Options{Kind: kind, Loops: 2, Pipes: 8}, func(e Engine) { test(t, e) })
		})
	}
}

func kinds() []string {
	if loopsSupported {
		return []string{"goroutines", "loops"}
	}
	return []string{"goroutines"}
}

// withEngine closes the engine, and counts, after everything that the test has opened is closed.
func withEngine(t *testing.T, o Options, test func(Engine)) {
	t.Helper()
	before := openFiles(t)
	t.Cleanup(func() {
		eventually(t, "descriptors to be freed", func() bool { return openFiles(t) <= before })
	})
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		for _, n := range e.Sessions() {
			if n != 0 {
				t.Errorf("%d sessions are left after Close", n)
			}
		}
	})
	test(e)
}

// eventually waits for something that other goroutines or the kernel are about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hang); !ok(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// openFiles counts the process's descriptors of sockets and pipes; the runtime's own stay out of it.
func openFiles(t *testing.T) int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // only Linux tells
	}
	n := 0
	for _, name := range names {
		target, err := os.Readlink("/proc/self/fd/" + name.Name())
		if err == nil && (bytes.HasPrefix([]byte(target), []byte("socket:")) || bytes.HasPrefix([]byte(target), []byte("pipe:"))) {
			n++
		}
	}
	return n
}

// record is an Owner that remembers.
type record struct {
	mu         sync.Mutex
	up, down   uint64
	end        End
	ended      chan struct{}
	afterEnded bool
}

func newRecord() *record { return &record{ended: make(chan struct{})} }

func (r *record) Moved(up, down uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up += up
	r.down += down
	r.afterEnded = r.afterEnded || r.end != Unfinished
}

func (r *record) Ended(end End) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
	close(r.ended)
}

// wait returns how the session ended and what it moved.
func (r *record) wait(t *testing.T) (End, uint64, uint64) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(hang):
		t.Fatal("the session does not end")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.afterEnded {
		t.Error("Moved was called after Ended")
	}
	return r.end, r.up, r.down
}

// rig is one joined session: its client, its server, and its record.
type rig struct {
	client, server *net.TCPConn
	record         *record
	task           Task
}

// connectThrough makes a session through an engine; change may alter its Joint.
func connectThrough(t testing.TB, e Engine, change func(*Joint)) *rig {
	t.Helper()
	backend := listenTCP(t)
	r := &rig{record: newRecord()}
	tasks := make(chan Task, 1)
	a := listenThrough(t, e, func(task Task) {
		tasks <- task
		server, err := task.Dial(addressOf(backend), netip.Addr{}, time.Now().Add(hang))
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		joint := Joint{Server: server, Owner: r.record}
		if change != nil {
			change(&joint)
		}
		task.Join(joint)
	})
	r.client = dialTCP(t, a.Address())
	r.server = acceptTCP(t, backend)
	r.task = <-tasks
	return r
}

// setUp runs one session's set-up, and waits at the test's end until it has returned. A set-up reports by t.Errorf: it
// must not end its goroutine, which may be a loop's.
func setUp(t *testing.T, e Engine, setup Setup) (client *net.TCPConn, done <-chan struct{}) {
	t.Helper()
	returned := make(chan struct{})
	a := listenThrough(t, e, func(task Task) {
		defer close(returned)
		setup(task)
	})
	client = dialTCP(t, a.Address())
	t.Cleanup(func() { client.Close(); await(t, "the set-up's return", returned) })
	return client, returned
}

// setUpWith is setUp for what begins with a connection to a server.
func setUpWith(t *testing.T, e Engine, backend *net.TCPListener, setup func(task Task, server Conn)) (client *net.TCPConn, done <-chan struct{}) {
	t.Helper()
	return setUp(t, e, func(task Task) {
		server, err := task.Dial(addressOf(backend), netip.Addr{}, late())
		if err != nil {
			t.Errorf("dial: %v", err)
			return
		}
		setup(task, server)
	})
}

func await[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(hang):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

func soon() time.Time { return time.Now().Add(20 * time.Millisecond) }
func late() time.Time { return time.Now().Add(hang) }

// want reports an error that is not the one expected.
func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func sessions(e Engine) (all int) {
	for _, n := range e.Sessions() {
		all += n
	}
	return all
}

func listenThrough(t testing.TB, e Engine, setup Setup) Acceptor {
	t.Helper()
	a, err := e.Listen(ListenOptions{Address: netip.MustParseAddrPort("127.0.0.1:0")}, setup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func listenTCP(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func addressOf(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

func dialTCP(t testing.TB, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(hang))
	return c.(*net.TCPConn)
}

func acceptTCP(t testing.TB, l *net.TCPListener) *net.TCPConn {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(hang))
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(hang))
	return c
}

func mustWrite(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

func wantEnd(t *testing.T, r *rig, want End) {
	t.Helper()
	if got, _, _ := r.record.wait(t); got != want {
		t.Fatalf("the session ended by %v, want %v", got, want)
	}
}

func wantReset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("got %v, want a reset", err)
	}
}

func wantEOF(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if n, err := io.Copy(io.Discard, c); err != nil || n != 0 {
		t.Fatalf("got %d bytes, %v; want the end", n, err)
	}
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}

func TestUnknownEngine(t *testing.T) {
	if e, err := New(Options{Kind: "threads"}); err == nil {
		e.Close()
		t.Error("there is an engine of threads")
	}
}
