// Package e2e tests the real binary: built once, started as a child process, spoken to over its sockets.
//
//	cluster, address := …
//	p := start(t, `
//	[[listener]]
//	name = "mysql"
//	bind = "127.0.0.1:0"
//	pool = "fe"
//	[[pool]]
//	name = "fe"
//	[[pool.backend]]
//	address = "`+address+`"
//	`)                                   // running, and ready
//	db := p.open("mysql")                // a database/sql pool through that listener
//	out := fairlead(t, "status", "--socket", p.socket)   // a command: out.code, out.stdout, out.stderr
//	p.signal(syscall.SIGTERM)
//	p.exits(0)
//
// The harness adds what a text leaves out: [admin] with a free port and a socket, [log] with JSON. Ports may be
// 0: the addresses in use are read from the log. Nothing sleeps; whatever has to be waited for is waited for
// with the long deadline called patience, which only ends what hangs.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	// patience ends a test that hangs. It is no measure of anything.
	patience = 30 * time.Second
	// pollEvery is the pause between two looks at what tells nobody when it changes.
	pollEvery = 10 * time.Millisecond
)

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	_ = mysql.SetLogger(quiet{})
	os.Exit(buildAndRun(m))
}

// quiet keeps the driver from printing about connections that tests break on purpose.
type quiet struct{}

func (quiet) Print(...any) {}

// builtBinary names the program in tests that run themselves.
const builtBinary = "FAIRLEAD_E2E_BINARY"

// buildAndRun builds the program, with the race detector if the tests have it, and runs the tests.
func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fairlead-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv(builtBinary); binary != "" {
		return m.Run()
	}
	binary = filepath.Join(dir, "fairlead")
	os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")) // or each command would take a second longer
	if err := build(binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds the program, with these flags.
func build(path string, flags ...string) error {
	arguments := append([]string{"build", "-o", path}, flags...)
	if raceEnabled {
		arguments = append(arguments, "-race")
	}
	if said, err := exec.Command("go", append(arguments, "fairlead")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, said)
	}
	return nil
}

// outcome is how a command ended.
type outcome struct {
	stdout, stderr string
	code           int
}

// fairlead runs the program to its end.
func fairlead(t *testing.T, arguments ...string) outcome {
	t.Helper()
	return fairleadIn(t, "", arguments...)
}

// fairleadIn is fairlead in a directory.
func fairleadIn(t *testing.T, dir string, arguments ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, arguments...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("fairlead %s: %v\n%s", strings.Join(arguments, " "), err, stderr.String())
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// process is a running fairlead. Its end is the test's business, or comes with the test's.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	config string // the file's path
	socket string // the control socket's
	admin  string // host:port of the admin pages

	ended chan struct{} // closed when it has ended, and all that it wrote has been read

	mu struct {
		sync.Mutex
		lines   []string
		changed chan struct{} // closed and replaced at each new line
	}
}

// start starts fairlead with a configuration and returns when it serves and is ready.
func start(t *testing.T, text string) *process {
	t.Helper()
	p := launch(t, text)
	p.awaitReady()
	return p
}

// launch is start for a fairlead that may not become ready: it returns when it serves.
func launch(t *testing.T, text string) *process {
	t.Helper()
	dir := socketDir(t)
	p := spawn(t, writeConfig(t, dir, text))
	p.serving()
	return p
}

// serving waits until it serves, and notes where.
func (p *process) serving() {
	p.t.Helper()
	serving := p.await("the line that says serving", func(r record) bool { return r["msg"] == "serving" })
	if list, ok := serving["admin"].([]any); ok && len(list) > 0 {
		p.admin = fmt.Sprint(list[0])
	}
	p.socket = fmt.Sprint(serving["socket"])
}

// spawn starts "fairlead run" with a file, and waits for nothing.
func spawn(t *testing.T, config string) *process {
	t.Helper()
	return spawnBy(t, config, binary)
}

// spawnBy is spawn for the program in another place, or below another program, with its arguments.
func spawnBy(t *testing.T, config string, program ...string) *process {
	t.Helper()
	p := &process{t: t, config: config, cmd: exec.Command(program[0], append(program[1:], "run", "-c", config)...), ended: make(chan struct{})}
	p.mu.changed = make(chan struct{})
	p.cmd.Stdout = p
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	t.Cleanup(p.cleanUp)
	return p
}

func (p *process) cleanUp() {
	_ = p.cmd.Process.Kill()
	<-p.ended
	if log := p.log(); p.t.Failed() || strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		p.t.Errorf("the log of %s:\n%s", p.config, log)
	}
}

// socketDir is a directory with a path short enough for a socket, which the test's own may not have.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// writeConfig writes a configuration into dir, with the tables that the text leaves out, and returns its path.
func writeConfig(t *testing.T, dir, text string) string {
	t.Helper()
	if !strings.Contains(text, "[admin]") {
		text += fmt.Sprintf("\n[admin]\nlisten = \"127.0.0.1:0\"\nsocket = %q\n", filepath.Join(dir, "control.sock"))
	}
	if !strings.Contains(text, "[log]") {
		text += "\n[log]\nlevel = \"info\"\nformat = \"json\"\n"
	}
	path := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// awaitReady returns when /readyz says yes.
func (p *process) awaitReady() {
	p.t.Helper()
	p.poll("/readyz to say yes", func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusOK
	})
}

// poll looks again and again until done says so.
func (p *process) poll(what string, done func() bool) {
	p.t.Helper()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for timeout := time.After(patience); !done(); {
		select {
		case <-again.C:
		case <-p.ended:
			p.t.Fatalf("fairlead has ended; waited for %s", what)
		case <-timeout:
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// get asks an admin page. The status is 0 when nobody answers.
func (p *process) get(path string) (code int, body string) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + p.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// command runs a command against this process, by its control socket.
func (p *process) command(arguments ...string) outcome {
	p.t.Helper()
	return fairlead(p.t, append(arguments, "--socket", p.socket)...)
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exits waits for the end, and wants that exit status.
func (p *process) exits(code int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("fairlead does not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("exit status %d (%v), want %d", got, p.cmd.ProcessState, code)
	}
}

// running tells whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// freePort is a port that was free a moment ago, for servers that can't take port 0. Somebody else may have it by now:
// start the server again on another one if it says so.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// required is for what a test needs and the machine may not have: without it the test is skipped, or fails when
// FAIRLEAD_E2E_REQUIRE=1 says that everything must be there. It returns the program's path.
func required(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, filepath.Join("/usr/sbin", program), filepath.Join("/usr/local/sbin", program)} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
		t.Fatalf("%s is not installed, and FAIRLEAD_E2E_REQUIRE=1 wants it", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// eventually looks again and again until done says so.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for timeout := time.After(2 * patience); !done(); {
		select {
		case <-again.C:
		case <-timeout:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// launchFile is launch for a file that is written already.
func launchFile(t *testing.T, config string) *process {
	t.Helper()
	p := spawn(t, config)
	p.serving()
	return p
}
