package clients

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"os/exec"
	"strings"
)

//go:embed programs
var programs embed.FS

// Matrix runs clients. All that they read and make is in one directory.
type Matrix struct {
	dir   string
	built map[string]error // how compiling went, by command: several rows share a program
}

// Server is what clients are led to.
type Server struct {
	Address string // host:port
	Other   string // a second address for those clients that take several in the task pool; "" for none
}

// New puts what clients need into an empty directory. The files are PEM text for TLS: the authority that has signed the server's
// certificate, and a certificate with its key for the clients that can't do without.
func New(dir, ca, certificate, key string) (*Matrix, error) {
	m := &Matrix{dir: dir, built: map[string]error{}}
	if err := os.CopyFS(dir, programs); err != nil {
		return nil, err
	}
	// The names are those that sysbench wants in its working directory.
	for name, from := range map[string]string{"cacert.pem": ca, "client-cert.pem": certificate, "client-key.pem": key} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(m.inside(name), text, 0o600)
		}
		if err != nil {
			return nil, err
		}
	}
	text, _ := infile()
	if err := os.WriteFile(m.inside("load.txt"), text, 0o600); err != nil {
		return nil, err
	}
	return m, os.Mkdir(m.inside("classes"), 0o700)
}

// infile is a file for LOAD DATA LOCAL, and what the steps must give that load it: how many rows it has, the sum of their
// numbers, and a checksum of their texts.
func infile() (text []byte, result string) {
	var b strings.Builder
	var check uint32
	for i := 1; i <= InfileRows; i++ {
		row := fmt.Sprintf("row %d", i*7919)
		check ^= crc32.ChecksumIEEE([]byte(row))
		fmt.Fprintf(&b, "%d\t%s\n", i, row)
	}
	return []byte(b.String()), fmt.Sprintf("%d %d %d", InfileRows, InfileRows*(InfileRows+1)/2, check)
}

// ErrMissing is the error of Prepare when a client is not installed.
var ErrMissing = errors.New("not installed")

// Prepare compiles a client's program, and gives the client's version. It is not for use by several at the same time.
func (m *Matrix) Prepare(ctx context.Context, c Client) (version string, err error) {
	if c.Build != nil {
		key := strings.Join(c.Build, " ")
		if _, done := m.built[key]; !done {
			m.built[key] = m.build(ctx, c.Build)
		}
		if err := m.built[key]; err != nil {
			return "", fmt.Errorf("clients: %s is %w: %w", c.Package, ErrMissing, err)
		}
	}
	steps, err := m.Run(ctx, c, Server{Address: "127.0.0.1:1"}, []string{"version"}, nil)
	if err != nil || len(steps) != 1 || steps[0].Result == "" {
		return "", fmt.Errorf("clients: %s is %w: %v, %w", c.Package, ErrMissing, steps, err)
	}
	return steps[0].Result, nil
}

func (m *Matrix) build(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = m.dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return nil
}

// Run has a client do tasks at a server, one after the other, and gives all steps. At the pauses of the task pool it calls
// pause, and goes on when that returns.
func (m *Matrix) Run(ctx context.Context, c Client, s Server, tasks []string, pause func(step string) error) ([]Step, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	r := &run{Matrix: m, client: c, server: s, host: host, port: port, tasks: tasks, pause: pause}
	if c.drive == nil {
		err = runProgram(ctx, r)
	} else {
		err = c.drive(ctx, r)
	}
	if err != nil {
		return r.steps, fmt.Errorf("clients: %s: %w", c.Name, err)
	}
	return r.steps, nil
}

// run is one client at work at one server.
type run struct {
	*Matrix
	client     Client
	server     Server
	host, port string
	tasks      []string
	pause      func(step string) error
	steps      []Step
}

func (r *run) say(s Step) { r.steps = append(r.steps, s) }

// did is say for a step that gave a result, or an error that is not the client's own.
func (r *run) did(task, step, result string, err error) {
	var refused *refusal
	switch {
	case err == nil:
		r.say(Step{Task: task, Step: step, Result: result})
	case errors.As(err, &refused):
		r.say(Step{Task: task, Step: step, Failed: true, Code: refused.code, State: refused.state, Text: refused.text})
	default:
		r.say(Step{Task: task, Step: step, Failed: true, Text: err.Error()})
	}
}

// refusal is an error of a server.
type refusal struct {
	code        int
	state, text string
}

func (e *refusal) Error() string { return fmt.Sprintf("error %d (%s): %s", e.code, e.state, e.text) }
