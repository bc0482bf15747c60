//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"text/template"
)

// protocol is what a route carries, in fairlead's words.
type protocol string

const (
	plainTCP protocol = "tcp"
	mysql    protocol = "mysql"
)

// route is what a proxy is started for: one listener, one backend.
type route struct {
	Protocol protocol
	Listen   netip.AddrPort
	Backend  netip.AddrPort
}

// surroundings is what a peer's configuration depends on besides the route.
type surroundings struct {
	Dir     string // for its configuration, sockets and logs
	Threads int    // event loops, threads or workers: as many as the proxy's processors
	Limit   int    // descriptors that each of its processes may open
	Root    bool
}

// peer is one proxy to measure.
type peer struct {
	name  string // key in the report and in --peers
	title string
	// rival says that fairlead's goals are measured against it.
	rival   bool
	version string
	// descriptors is how many a session takes; 0 means two. It limits the idle sessions.
	descriptors int
	// command writes what the proxy needs into the directory and gives its command line, which stays in
	// the foreground.
	command func(route, surroundings) ([]string, error)
}

const (
	// backlog is the length of every queue of connections not yet accepted, the kernel's usual limit (somaxconn).
	backlog = 4096
	// haproxyPipes is far above the directions that a loop of HAProxy has half moved at one moment.
	haproxyPipes = 256
	// descriptorReserve is what a proxy may need besides its sessions: HAProxy's pipes at two each, listeners, logs,
	// epoll instances.
	descriptorReserve = 2*haproxyPipes + 288
)

// mostSessions is how many sessions a proxy can hold within a limit of descriptors, at so many each (0: two).
func mostSessions(limit, each int) int { return max(1, (limit-descriptorReserve)/max(each, 2)) }

// Names of the peers.
const (
	ownName       = "fairlead"
	haproxyAuto   = "haproxy-auto"
	haproxyForced = "haproxy-splice"
	nginxName     = "nginx"
	copyName      = "copy"
)

var peerNames = []string{ownName, haproxyAuto, haproxyForced, nginxName, copyName}

// errAbsent means that a peer is not installed: it is left out, unless asked for by name.
var errAbsent = errors.New("bench: not installed")

// findPeers makes the peers of the names given, or of all that are installed when there are none. The second
// result tells what was left out and why.
func findPeers(ctx context.Context, wanted []string, binary string) (found []peer, absent []error, err error) {
	names := wanted
	if len(names) == 0 {
		names = peerNames
	}
	for _, name := range names {
		p, err := findPeer(ctx, name, binary)
		switch {
		case err == nil:
			found = append(found, p)
		case errors.Is(err, errAbsent) && len(wanted) == 0:
			absent = append(absent, fmt.Errorf("%s: %w", name, err))
		default:
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return found, absent, nil
}

func findPeer(ctx context.Context, name, binary string) (peer, error) {
	switch name {
	case ownName:
		return findFairlead(ctx, binary)
	case haproxyAuto:
		return findHAProxy(ctx, name, "HAProxy, splice-auto", "option splice-auto")
	case haproxyForced:
		return findHAProxy(ctx, name, "HAProxy, forced splice", "option splice-request\n    option splice-response")
	case nginxName:
		return findNginx(ctx)
	case copyName:
		return findCopy()
	}
	return peer{}, fmt.Errorf("bench: no such peer: there are %s", strings.Join(peerNames, ", "))
}

// fairleadConfig asks for nothing but what the route needs: every other key stays at its default, the probe
// of the backend included, which no other peer has.
var fairleadConfig = template.Must(template.New("fairlead.toml").Parse(`[admin]
listen = ""
socket = "{{.Dir}}/fairlead.sock"

[shutdown]
grace = "0s"
drain = "0s"

[log]
level = "warn"
sessions = false

[[listener]]
name = "bench"
bind = "{{.Listen}}"
pool = "bench"

[[pool]]
name = "bench"
protocol = "{{.Protocol}}"

  [pool.probe]
  type = "{{.Protocol}}"

  [[pool.backend]]
  address = "{{.Backend}}"
`))

func findFairlead(ctx context.Context, binary string) (peer, error) {
	version, err := firstLine(ctx, binary, "version")
	if err != nil {
		return peer{}, err
	}
	return peer{name: ownName, title: "fairlead", version: version,
		command: func(r route, s surroundings) ([]string, error) {
			file, err := writeConfig(fairleadConfig, r, s)
			return []string{binary, "run", "-c", file}, err
		}}, nil
}

// haproxyConfig is a plain TCP proxy. TCP_NODELAY is HAProxy's default. No log line, no health check, no
// statistics. maxconn is as high as the descriptors allow, at two a session, beside maxpipes pipes for splicing: without
// that line a quarter of maxconn is set aside for pipes. The time-outs are long enough for
// idle sessions; a connect may take as long as with the others.
var haproxyConfig = template.Must(template.New("haproxy.cfg").Parse(`global
    nbthread {{.Threads}}
    maxconn {{.MaxConnections}}
    maxpipes {{.MaxPipes}}

defaults
    mode tcp
    backlog {{.Backlog}}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {{.Options}}

listen bench
    bind {{.Listen}}
    server backend {{.Backend}}
`))

func findHAProxy(ctx context.Context, name, title, options string) (peer, error) {
	binary, err := lookUp("haproxy")
	if err != nil {
		return peer{}, err
	}
	version, err := firstLine(ctx, binary, "-v")
	if err != nil {
		return peer{}, err
	}
	return peer{name: name, title: title, rival: true, version: version,
		command: func(r route, s surroundings) ([]string, error) {
			file, err := writeConfig(haproxyConfig, r, s, options)
			return []string{binary, "-db", "-f", file}, err
		}}, nil
}

// nginxConfig is a plain stream proxy. TCP_NODELAY is its default. reuseport spreads sessions evenly over the workers,
// which otherwise race for them. Buffers stay at 16 KB, the default.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`{{.Options}}
daemon off;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/nginx-error.log crit;
worker_processes {{.Threads}};
worker_rlimit_nofile {{.Limit}};

events {
    worker_connections {{.Limit}};
}

stream {
    access_log off;
    server {
        listen {{.Listen}} reuseport backlog={{.Backlog}};
        proxy_pass {{.Backend}};
        proxy_connect_timeout 5s;
        proxy_timeout 1h;
    }
}
`))

func findNginx(ctx context.Context) (peer, error) {
	binary, err := lookUp("nginx")
	if err != nil {
		return peer{}, err
	}
	about, err := exec.CommandContext(ctx, binary, "-V").CombinedOutput()
	if err != nil {
		return peer{}, fmt.Errorf("bench: nginx -V: %w", err)
	}
	load, err := streamModule(about)
	if err != nil {
		return peer{}, err
	}
	version, _, _ := strings.Cut(string(about), "\n")
	return peer{name: nginxName, title: "nginx stream", rival: true, version: version,
		command: func(r route, s surroundings) ([]string, error) {
			options := load
			if s.Root {
				options += "\nuser root;" // else workers could not reach the directory
			}
			file, err := writeConfig(nginxConfig, r, s, options)
			return []string{binary, "-p", s.Dir, "-e", filepath.Join(s.Dir, "nginx-error.log"), "-c", file}, err
		}}, nil
}

var (
	modulesPath  = regexp.MustCompile(`--modules-path=(\S+)`)
	staticStream = regexp.MustCompile(`--with-stream(\s|$)`)
)

// streamModule finds in the output of nginx -V how to get the stream module: the line that loads it, or
// none when it is built in.
func streamModule(about []byte) (string, error) {
	if staticStream.Match(about) {
		return "", nil
	}
	dirs := []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"}
	if m := modulesPath.FindSubmatch(about); m != nil {
		dirs = slices.Insert(dirs, 0, string(m[1]))
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, "ngx_stream_module.so")
		if _, err := os.Stat(file); err == nil {
			return "load_module " + file + ";", nil
		}
	}
	return "", fmt.Errorf("%w: nginx is there, its stream module is not", errAbsent)
}

func findCopy() (peer, error) {
	self, err := os.Executable()
	if err != nil {
		return peer{}, fmt.Errorf("bench: %w", err)
	}
	// Beside two sockets it has a pipe in each direction, for io.Copy splices.
	return peer{name: copyName, title: "goroutines, io.Copy", version: runtime.Version(), descriptors: 6,
		command: func(r route, s surroundings) ([]string, error) {
			return []string{self, "copy", "--listen", r.Listen.String(), "--backend", r.Backend.String()}, nil
		}}, nil
}

// writeConfig fills the template in and gives the file's name.
func writeConfig(t *template.Template, r route, s surroundings, options ...string) (string, error) {
	var text bytes.Buffer
	err := t.Execute(&text, struct {
		route
		surroundings
		Options        string
		MaxConnections int
		MaxPipes       int
		Backlog        int
	}{r, s, strings.Join(options, "\n"), mostSessions(s.Limit, 2), haproxyPipes, backlog})
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	file := filepath.Join(s.Dir, t.Name())
	if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return file, nil
}

// lookUp finds a program on the path or among the administrator's, where many users have no path to.
func lookUp(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s", errAbsent, name)
}

// firstLine is the first line that a command prints.
func firstLine(ctx context.Context, argv ...string) (string, error) {
	output, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("bench: %s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(output))
	}
	line, _, _ := strings.Cut(string(bytes.TrimSpace(output)), "\n")
	return line, nil
}
