package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager is a service manager's socket.
func manager(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func receive(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl-") // a path short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestNotify(t *testing.T) {
	for name, path := range map[string]string{
		"file":     filepath.Join(shortDir(t), "notify"),
		"abstract": "@fairlead-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "abstract" && !abstractSockets {
				t.Skip("this system has no abstract sockets")
			}
			c := manager(t, path)
			t.Setenv("NOTIFY_SOCKET", path)
			t.Setenv("WATCHDOG_USEC", "1500000")
			t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
			n, err := FromEnvironment()
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if n.Watchdog != 1500*time.Millisecond {
				t.Errorf("the watchdog wants a sign each %v", n.Watchdog)
			}
			if err := n.Notify(Ready, Status("two\nlines"), ExtendTimeout(2*time.Second)); err != nil {
				t.Fatal(err)
			}
			if got, want := receive(t, c), "READY=1\nSTATUS=two lines\nEXTEND_TIMEOUT_USEC=2000000"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestNobodyAsks: without a service manager nothing is sent, and nothing fails.
func TestNobodyAsks(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := FromEnvironment()
	if n != nil || err != nil {
		t.Fatalf("got %v, %v", n, err)
	}
	if err := n.Notify(Ready); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(shortDir(t), "gone"))
	if _, err := FromEnvironment(); err == nil || !strings.HasPrefix(err.Error(), "systemd: NOTIFY_SOCKET: ") {
		t.Errorf("got %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	for _, c := range []struct {
		microseconds, pid string
		want              time.Duration
		fails             bool
	}{
		{"", "", 0, false},
		{"", "7", 0, false},
		{"2000000", "", 2 * time.Second, false},
		{"2000000", "7", 2 * time.Second, false},
		{"2000000", "8", 0, false}, // another process's
		{"0", "7", 0, true},
		{"-5", "", 0, true},
		{"soon", "", 0, true},
		{"99999999999999999999", "", 0, true},
	} {
		got, err := watchdog(c.microseconds, c.pid, 7)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%q, %q: %v, %v", c.microseconds, c.pid, got, err)
		}
	}
}
