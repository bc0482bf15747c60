package daemon

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
	"fairlead/probe"
)

// patience only ends a test that hangs.
const patience = 30 * time.Second

// logText is a log that a test reads.
type logText struct {
	sync.Mutex
	text strings.Builder
}

func (l *logText) Write(b []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(b)
}

func (l *logText) String() string {
	l.Lock()
	defer l.Unlock()
	return l.text.String()
}

// parse reads a configuration for a backend at address, with more text at its end.
func parse(t *testing.T, address, more string) *config.File {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file, err := config.Parse(filepath.Join(dir, "test.toml"), []byte(fmt.Sprintf(`
[admin]
listen = "127.0.0.1:0"
socket = "control.sock"
[[listener]]
name = "mysql"
bind = "127.0.0.1:0"
pool = "fe"
[[pool]]
name = "fe"
  [pool.probe]
  interval = "100ms"
  fast_interval = "10ms"
  [[pool.backend]]
  name = "one"
  address = %q
%s`, address, more)))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// start starts a daemon in front of a stand-in FE; changes are those of the backend's state.
func start(t *testing.T, more string, o Options) (d *Daemon, fe *fakefe.FE, changes <-chan balancer.Change) {
	t.Helper()
	fe, err := fakefe.Start(fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fe.Stop)
	told := make(chan balancer.Change, 100)
	o.Changed = func(c balancer.Change) { told <- c }
	if o.Output == nil {
		o.Output = io.Discard
	}
	if d, err = New(parse(t, fe.Address(), more), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return d, fe, told
}

// await waits for a state of the backend.
func await(t *testing.T, changes <-chan balancer.Change, to balancer.State) balancer.Change {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case c := <-changes:
			if c.To == to {
				return c
			}
		case <-timeout:
			t.Fatalf("the backend does not become %v", to)
		}
	}
}

func get(t *testing.T, d *Daemon, path string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + d.AdminAddresses()[0].String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// TestProbesDecide: what the probes find becomes the backend's state and its status.
func TestProbesDecide(t *testing.T) {
	d, fe, changes := start(t, "", Options{Version: "1.2.3"})
	await(t, changes, balancer.Up)
	if code, body := get(t, d, "/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if err := fe.Set(fakefe.ErrorFirst); err != nil {
		t.Fatal(err)
	}
	if c := await(t, changes, balancer.Down); !strings.HasPrefix(c.Reason, "greeting:") || c.Pool != "fe" || c.Backend != "one" ||
		c.From != balancer.Up || c.Held <= 0 {
		t.Errorf("told of the change: %+v", c)
	}
	if code, body := get(t, d, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "no backend") {
		t.Errorf("/readyz: %d %q", code, body)
	}
	if err := fe.Restore(); err != nil {
		t.Fatal(err)
	}
	await(t, changes, balancer.Up)
	var s control.Status
	if _, body := get(t, d, "/status"); json.Unmarshal([]byte(body), &s) != nil || s.Version != "1.2.3" || !s.Ready ||
		s.Pools[0].Backends[0].Version != "8.0.33" {
		t.Errorf("/status: %s", body)
	}
	if _, body := get(t, d, "/metrics"); !strings.Contains(body, `fairlead_build_info{`) || !strings.Contains(body, `version="1.2.3"`) {
		t.Errorf("/metrics has no build_info")
	}
	if _, body := get(t, d, "/"); !strings.Contains(body, "<title>fairlead") || !strings.Contains(body, "/metrics") {
		t.Errorf("/: %s", body)
	}
}

// TestProbeOption: a caller may say how each backend is probed.
func TestProbeOption(t *testing.T) {
	_, _, changes := start(t, "", Options{Probe: func(b *balancer.Backend) probe.Config {
		if b.Name != "one" {
			t.Errorf("asked about %v", b)
		}
		return probe.Config{Type: probe.TypeHTTP, HTTP: "http://127.0.0.1:1/", FastInterval: time.Millisecond}
	}})
	if c := await(t, changes, balancer.Down); !strings.HasPrefix(c.Reason, "http:") {
		t.Errorf("the reason is %q", c.Reason)
	}
}

func TestSessionLines(t *testing.T) {
	var log logText
	var told []balancer.SessionRecord
	d, _, changes := start(t, "[shutdown]\ngrace = \"0s\"\n[log]\nformat = \"json\"\n", Options{Output: &log, Session: func(r balancer.SessionRecord) { told = append(told, r) }})
	await(t, changes, balancer.Up)
	db, err := sql.Open("mysql", "root@tcp("+d.Balancer().Listener("mysql").Addresses()[0].String()+")/sales")
	if err != nil {
		t.Fatal(err)
	}
	var one string
	if err := db.QueryRow("select 1").Scan(&one); err != nil {
		t.Fatal(err)
	}
	db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d.Shutdown(ctx) // waits for the session's end

	if len(told) != 2 || told[0].End != "" || told[1].End == "" || told[1].User != "root" {
		t.Errorf("told of %+v", told)
	}
	var lines int
	for line := range strings.Lines(log.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Errorf("a line is no JSON: %q", line)
		}
		if r["msg"] == "session" {
			lines++
			if r["user"] != "root" || r["database"] != "sales" || r["backend"] != "one" {
				t.Errorf("the line says %v", r)
			}
		}
	}
	if lines != 1 {
		t.Errorf("%d lines for one session\n%s", lines, log.String())
	}
}

// TestSessionTeller: nobody makes records that nobody reads, and losses are told.
func TestSessionTeller(t *testing.T) {
	for text, want := range map[string]bool{"": true, "[log]\nsessions = false\n": false, "[log]\nlevel = \"warn\"\n": false} {
		d := &Daemon{output: newOutput(io.Discard, tellLost)}
		d.logging.set(parse(t, "127.0.0.1:1", text).Log)
		if got := d.wantsSessions(); got != want {
			t.Errorf("%q: told of sessions: %v", text, got)
		}
		d.output.Close()
	}
	var log logText
	d := &Daemon{output: newOutput(&log, tellLost)}
	d.logging.set(config.Log{Sessions: true})
	d.sessionTeller()(balancer.SessionRecord{End: "client_closed", User: "a\nb", Lost: 7})
	d.output.Close()
	if got := log.String(); !strings.Contains(got, "lost=7") || !strings.Contains(got, `user="a\nb"`) || strings.Count(got, "\n") != 2 {
		t.Errorf("written: %s", got)
	}
}

// TestShutdownOrder: not ready at once, serving for the grace, and the end of everything when cut short.
func TestShutdownOrder(t *testing.T) {
	d, _, changes := start(t, "[shutdown]\ngrace = \"1h\"\n", Options{})
	await(t, changes, balancer.Up)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		d.Shutdown(ctx)
	}()
	for code := 0; code != http.StatusServiceUnavailable; {
		code, _ = get(t, d, "/readyz")
	}
	address := d.Balancer().Listener("mysql").Addresses()[0].String()
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("during grace: %v", err)
	}
	c.Close()
	admin := d.AdminAddresses()[0].String()
	cancel()
	<-over
	for _, a := range []string{address, admin} {
		if c, err := net.Dial("tcp", a); err == nil {
			c.Close()
			t.Errorf("%s is open after the end", a)
		}
	}
	if _, err := os.Stat(d.file().Admin.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestObey: the first signal shuts down in order, the second one at once.
func TestObey(t *testing.T) {
	for _, second := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		var log logText
		d, _, _ := start(t, "[shutdown]\ngrace = \"1h\"\n", Options{Output: &log})
		signals := make(chan os.Signal) // each is taken before the next is sent
		over := make(chan struct{})
		go func() {
			defer close(over)
			d.obey(signals, d.newHerald())
		}()
		for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGHUP, second} {
			select {
			case signals <- s:
			case <-over:
				t.Fatalf("ended before %v", s)
			}
		}
		select {
		case <-over:
		case <-time.After(patience):
			t.Fatal("a second signal does not end it")
		}
		if got := log.String(); !strings.Contains(got, "ending at once") || !strings.HasSuffix(got, "msg=ended\n") {
			t.Errorf("log:\n%s", got)
		}
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct{ from, to, want string }{
		"listener": {"[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"", "[[listener]]\nname = \"mysql\"\nbind = \"" + taken.Addr().String() + "\"",
			":7: listener \"mysql\" can't listen on " + taken.Addr().String() + ": address already in use: another program"},
		"admin": {"listen = \"127.0.0.1:0\"", "listen = \"" + taken.Addr().String() + "\"",
			":3: admin can't listen on " + taken.Addr().String() + ": address already in use"},
		"not ours": {"listen = \"127.0.0.1:0\"", "listen = \"192.0.2.1:0\"", ":3: admin can't listen on 192.0.2.1:0: cannot assign"},
		"socket":   {"control.sock", "/dev/null/x", "admin.socket: control socket /dev/null/x: not a directory"},
	} {
		good := parse(t, "127.0.0.1:1", "")
		text := strings.Replace(fmt.Sprintf(`
[admin]
listen = "127.0.0.1:0"
socket = %q
[[listener]]
name = "mysql"
bind = "127.0.0.1:0"
pool = "fe"
[[pool]]
name = "fe"
[[pool.backend]]
address = "127.0.0.1:1"
`, "control.sock"), c.from, c.to, 1)
		file, err := config.Parse(good.Name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(file, Options{Output: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		err = d.Start()
		d.Close()
		var listen ListenErrors
		if !errors.As(err, &listen) || len(listen) != 1 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", name, err, c.want)
		}
		if name != "socket" && name != "not ours" && !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s: the kernel's error is lost in %v", name, err)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for from, want := range map[probe.Verdict]balancer.Verdict{probe.Undecided: balancer.Undecided, probe.Fit: balancer.Fit,
		probe.Unfit: balancer.Unfit, probe.Leaving: balancer.Leaving, 99: balancer.Undecided} {
		if got := verdicts[from]; got != want {
			t.Errorf("%v became %d, want %d", from, got, want)
		}
		if back := known(want); back != from && from != 99 {
			t.Errorf("%v came back as %v", from, back)
		}
	}
}

func TestNamesThisHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:9090": true, "127.0.0.1": true, "[::1]:9090": true, "[::1]": true, "localhost": true, "LocalHost:80": true,
		"localhost.": true, "fairlead.localhost:1": true, "node-7:9090": true, "": true, "10.0.0.9:9090": true,
		"evil.example": false, "evil.example:9090": false, "localhost.evil.example": false, "notlocalhost": false, "node-77": false,
	} {
		if got := namesThisHost(host, "Node-7"); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestNoUpgrade: a daemon that does not know its program, such as the demonstration's, says so at once.
func TestNoUpgrade(t *testing.T) {
	d, _, _ := start(t, "", Options{})
	_, err := control.NewClient(d.file().Admin.Socket).Upgrade(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "can't be upgraded: restart it") {
		t.Errorf("got %v", err)
	}
}
