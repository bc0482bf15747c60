package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/daemon"
	"fairlead/internal/fakefe"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

// mostFEs keeps the demonstration on the screen.
const mostFEs = 64

// ErrOptions is wrapped by errors about Options that can't be carried out, such as a port that is taken.
var ErrOptions = errors.New("demo")

// Options say what is shown. Out and Log must be set.
type Options struct {
	Version string
	// Program is how the user calls the program, for the commands that are printed.
	Program string
	// Out takes what happens, in Style; Log the balancer's errors.
	Out   io.Writer
	Style terminal.Style
	Log   io.Writer

	// FEs is the number of front ends, from 1 to 64.
	FEs int
	// Listen and Admin are the balancer's addresses, with port 0 for any; Admin may be empty for none.
	Listen, Admin string
	// Chaos makes front ends fail and recover, as Seed has it.
	Chaos bool
	Seed  uint64
}

// demo is one under way.
type demo struct {
	options Options
	dir     string // for the control socket
	feed    *feed
	cluster *fakefe.Cluster
	daemon  *daemon.Daemon
}

// Run shows until ctx ends. Errors that wrap ErrOptions are the user's to mend.
func Run(ctx context.Context, o Options) error {
	listen, admin, err := o.addresses()
	if err != nil {
		return err
	}
	d := &demo{options: o, feed: newFeed(o.Out, o.Style)}
	defer d.feed.close()
	if d.dir, err = os.MkdirTemp("", "fairlead-demo-"); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer os.RemoveAll(d.dir)
	if d.cluster, err = fakefe.StartCluster(o.FEs, fakefe.Config{OnEvent: d.event}); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer d.cluster.Stop()
	if d.daemon, err = daemon.New(d.file(listen, admin), d.daemonOptions()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer d.daemon.Close()
	if err := d.daemon.Start(); err != nil {
		return fmt.Errorf("%w: %w\nOther addresses can be chosen: --listen 127.0.0.1:19030 --admin 127.0.0.1:19090", ErrOptions, err)
	}
	d.welcome()
	if o.Chaos {
		newChaos(d.cluster, o.Seed, d.feed).run(ctx)
	}
	<-ctx.Done()
	d.feed.say(terminal.Bold, "the end: closing what is left (%s)", terminal.Plural(d.daemon.Balancer().Sessions(), "session"))
	return nil
}

func (o Options) addresses() (listen netip.AddrPort, admin []netip.AddrPort, err error) {
	if o.FEs < 1 || o.FEs > mostFEs {
		return listen, nil, fmt.Errorf("%w: --fes must be from 1 to %d, not %d", ErrOptions, mostFEs, o.FEs)
	}
	if listen, err = netip.ParseAddrPort(o.Listen); err != nil {
		return listen, nil, fmt.Errorf("%w: --listen %q is no address with a port, such as 127.0.0.1:9030", ErrOptions, o.Listen)
	}
	if o.Admin != "" {
		a, err := netip.ParseAddrPort(o.Admin)
		if err != nil {
			return listen, nil, fmt.Errorf("%w: --admin %q is no address with a port, such as 127.0.0.1:9090", ErrOptions, o.Admin)
		}
		admin = append(admin, a)
	}
	return listen, admin, nil
}

// file is the configuration that a user would write, with probes in a hurry.
func (d *demo) file(listen netip.AddrPort, admin []netip.AddrPort) *config.File {
	byDefault := config.Default()
	listener, pool := byDefault.Listener, byDefault.Pool
	listener.Name, listener.Bind, listener.Pool = "mysql", []netip.AddrPort{listen}, "fe"
	pool.Name = "fe"
	pool.ConnectTimeout, pool.GreetingTimeout = time.Second, time.Second // all is on this machine
	pool.SlowStart = 3 * time.Second                                     // to be seen, not waited for
	for _, fe := range d.cluster.Members() {
		backend := byDefault.Backend
		backend.Name, backend.Address = fe.Name(), fe.Address()
		pool.Backends = append(pool.Backends, backend)
	}
	return &config.File{
		Name:  "the demonstration",
		Admin: config.Admin{Listen: admin, Socket: filepath.Join(d.dir, "fairlead.sock")},
		Log:   config.Log{Level: slog.LevelError, Format: "text"},
		Balancer: balancer.Config{Engine: byDefault.Engine, Listeners: []balancer.ListenerConfig{listener},
			Pools: []balancer.PoolConfig{pool}},
	}
}

func (d *demo) daemonOptions() daemon.Options {
	health := map[string]string{}
	for _, fe := range d.cluster.Members() {
		health[fe.Name()] = "http://" + fe.HTTPAddress() + "/api/health" // each has a port of its own here
	}
	return daemon.Options{
		Version: d.options.Version,
		Output:  d.options.Log,
		Session: d.session,
		Changed: d.changed,
		Probe: func(b *balancer.Backend) probe.Config {
			return probe.Config{Interval: 500 * time.Millisecond, FastInterval: 200 * time.Millisecond, Timeout: 500 * time.Millisecond,
				HTTP: health[b.Name], LeaderFromMetrics: true}
		},
	}
}

// session shows a session that comes or goes.
func (d *demo) session(r balancer.SessionRecord) {
	who := fmt.Sprintf("%s from %s", terminal.Clean(r.User), r.Client)
	if r.User == "" {
		who = "someone from " + r.Client.String()
	}
	switch {
	case r.End == "":
		by := ""
		if r.Program != "" {
			by = " with " + terminal.Clean(r.Program)
		}
		d.feed.say(terminal.Green, "session %d  %s%s is led to %s, which greeted in %s", r.ID, who, by, r.Backend,
			terminal.Duration(r.Greeting))
	case r.Backend == "":
		d.feed.say(terminal.Yellow, "session %d  %s reached no front end: %s", r.ID, who, r.End)
	default:
		d.feed.say(terminal.Faint, "session %d  %s has left %s after %s (%s): %s there, %s back", r.ID, who, r.Backend,
			terminal.Duration(r.Duration), r.End, terminal.Bytes(r.ToServer), terminal.Bytes(r.ToClient))
	}
}

// changed shows a backend's new state.
func (d *demo) changed(c balancer.Change) {
	colour, reason := terminal.Yellow, ""
	switch c.To {
	case balancer.Up:
		colour = terminal.Green
	case balancer.Down:
		colour = terminal.Red
	}
	if c.Reason != "" {
		reason = ": " + terminal.Clean(c.Reason)
	}
	d.feed.say(colour, "%s is %s%s", c.Backend, c.To, reason)
}

// event shows the end of a graceful leave, which comes by itself.
func (d *demo) event(e fakefe.Event) {
	if e.Kind == fakefe.Left {
		d.feed.say(terminal.Cyan, "chaos: %s has left: no session was on it any more, and its ports are closed", e.FE)
	}
}
