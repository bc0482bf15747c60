//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairlead/balancer"
	"fairlead/internal/control"
)

// fairlead is a process of the program under study.
type fairlead struct {
	program, dir string
	cmd          *exec.Cmd
	ended        chan struct{}
	client       *control.Client
	admin        string
	listen       netip.AddrPort // of the first listener
}

// start runs program with a configuration, whose admin part it adds, and returns when it serves.
func start(program, dir, config string) (*fairlead, error) {
	f := &fairlead{program: program, dir: dir, ended: make(chan struct{})}
	f.client = control.NewClient(f.socket())
	held, err := listenLow()
	if err != nil {
		return nil, err
	}
	f.admin = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), held.Addr().(*net.TCPAddr).AddrPort().Port()).String()
	held.Close()
	if err := f.configure(config); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	defer log.Close()
	f.cmd = exec.Command(program, "run", "-c", f.file())
	f.cmd.Stderr, f.cmd.SysProcAttr = log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := f.cmd.Start(); err != nil {
		return nil, fmt.Errorf("scale: %w", err)
	}
	go func() {
		f.cmd.Wait()
		close(f.ended)
	}()
	if err := f.awaitReady(); err != nil {
		f.stop()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w: %s", err, text[max(0, len(text)-2000):])
	}
	return f, nil
}

func (f *fairlead) file() string   { return filepath.Join(f.dir, "config.toml") }
func (f *fairlead) socket() string { return filepath.Join(f.dir, "socket") }

// configure writes the configuration.
func (f *fairlead) configure(config string) error {
	own := fmt.Sprintf("[admin]\nlisten = %q\nsocket = %q\n[shutdown]\ngrace = \"0s\"\ndrain = \"0s\"\n[log]\nsessions = false\n", f.admin, f.socket())
	if err := os.WriteFile(f.file(), []byte(own+config), 0o600); err != nil {
		return fmt.Errorf("scale: %w", err)
	}
	return nil
}

// awaitReady waits until every backend is up.
func (f *fairlead) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	for {
		s, err := f.client.Status(ctx)
		if err == nil && s.Ready && allUp(s.Pools) {
			f.listen = s.Listeners[0].Addresses[0]
			return nil
		}
		select {
		case <-f.ended:
			return errors.New("scale: fairlead has ended")
		case <-ctx.Done():
			return fmt.Errorf("scale: not ready: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func allUp(pools []balancer.PoolStatus) bool {
	for _, p := range pools {
		for _, b := range p.Backends {
			if b.State != balancer.Up {
				return false
			}
		}
	}
	return true
}

// stop ends the process.
func (f *fairlead) stop() {
	f.cmd.Process.Kill()
	<-f.ended
}

// run has a command of the program work on the configuration.
func (f *fairlead) run(command string, more ...string) error {
	out, err := exec.Command(f.program, append([]string{command, "-c", f.file()}, more...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("scale: fairlead %s: %w: %s", command, err, out)
	}
	return nil
}

// get fetches an admin page and returns its length.
func (f *fairlead) get(path string) (int64, error) {
	response, err := http.Get("http://" + f.admin + path)
	if err != nil {
		return 0, fmt.Errorf("scale: %w", err)
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err != nil {
		return 0, fmt.Errorf("scale: %s: %w", path, err)
	}
	return n, nil
}

// list asks for all sessions.
func (f *fairlead) list() error {
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	_, _, err := f.client.Sessions(ctx, control.SessionsQuery{})
	return err
}

// resident is the process's memory in bytes (VmRSS, proc_pid_status(5)).
func (f *fairlead) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("scale: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, errors.New("scale: no VmRSS")
	}
	kilobytes, err := strconv.ParseFloat(fields[0], 64)
	return kilobytes * 1024, err
}

// processor is the time that it has had, in seconds. The unit of proc_pid_stat(5) is a hundredth of one.
func (f *fairlead) processor() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("scale: %w", err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("scale: /proc/PID/stat is too short")
	}
	user, err := strconv.ParseFloat(fields[11], 64)
	system, other := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(err, other)
}
