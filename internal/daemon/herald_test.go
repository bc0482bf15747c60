package daemon

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/balancer"
)

// manager is a service manager: its socket, and the environment that it gives to what it starts.
func manager(t *testing.T, watchdog string) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", watchdog)
	t.Setenv("WATCHDOG_PID", "")
	return c
}

// told reads what the service manager is told until one of the states is wanted, and returns all states of that message.
func told(t *testing.T, c *net.UnixConn, wanted string) string {
	t.Helper()
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("waited for %s: %v", wanted, err)
		}
		if text := string(b[:n]); strings.Contains(text, wanted) {
			return text
		}
	}
}

// TestServiceManager: the states come in order, and signs of life as long as the process lives.
func TestServiceManager(t *testing.T) {
	c := manager(t, "20000")
	d, _, changes := start(t, "[shutdown]\ngrace = \"0s\"\ndrain = \"7s\"\n", Options{})
	await(t, changes, balancer.Up)
	signals, over := make(chan os.Signal, 1), make(chan struct{})
	h := d.newHerald()
	h.ready()
	if text := told(t, c, "READY=1"); !strings.Contains(text, "STATUS=1 of 1 backends up, 0 sessions") {
		t.Errorf("the first message is %q", text)
	}
	go func() { defer close(over); d.obey(signals, h); h.close() }()
	for range 3 {
		if text := told(t, c, "WATCHDOG=1"); !strings.Contains(text, "STATUS=1 of 1 backends up") {
			t.Errorf("a sign of life is %q", text)
		}
	}
	signals <- syscall.SIGTERM
	if text := told(t, c, "STOPPING=1"); !strings.Contains(text, "EXTEND_TIMEOUT_USEC=17000000") {
		t.Errorf("the end is announced as %q", text)
	}
	<-over
}

// TestNoSignOfLife: while the main goroutine hangs, the service manager hears nothing.
func TestNoSignOfLife(t *testing.T) {
	c := manager(t, "20000")
	d, _, _ := start(t, "", Options{})
	h := d.newHerald()
	defer h.close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.beat(ctx, time.Hour) // nobody takes the beat
	h.tell("LAST=1")
	if text := told(t, c, "="); text != "LAST=1" {
		t.Errorf("told %q", text)
	}
}

// TestNoServiceManager: nothing is sent where nobody asks.
func TestNoServiceManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	d, _, _ := start(t, "[shutdown]\ngrace = \"0s\"\ndrain = \"0s\"\n", Options{Output: io.Discard})
	h := d.newHerald()
	h.ready()
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	d.obey(signals, h)
	h.close()
}

func TestStatusLine(t *testing.T) {
	s := balancer.Status{Sessions: 7, NotReady: "not serving: x", Pools: []balancer.PoolStatus{
		{Backends: []balancer.BackendStatus{{State: balancer.Up}, {State: balancer.Down}}},
		{Backends: []balancer.BackendStatus{{State: balancer.Up}}},
	}}
	if got, want := statusLine(s), "2 of 3 backends up, 7 sessions; not serving: x"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Ready, s.NotReady = true, ""
	if got, want := statusLine(s), "2 of 3 backends up, 7 sessions"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
