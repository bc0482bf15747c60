package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/control"
	"fairlead/internal/repeats"
	"fairlead/internal/upgrade"
	"fairlead/metrics"
	"fairlead/probe"
)

// Options are what a Daemon needs besides the file. Output must be set.
type Options struct {
	// Version and Revision say which build this is; empty stays empty.
	Version, Revision string
	// Load, when set, reads the file again, for a reload.
	Load func() (*config.File, error)
	// Output takes the log, unless the file names another place. It is written to by one goroutine at a time, and who logs
	// never waits for it.
	Output io.Writer
	// Probe, when set, says how one backend is probed, in place of the file's [pool.probe].
	Probe func(*balancer.Backend) probe.Config
	// Session, when set, is told of each session that begins and that ends, beside the log; always by the same goroutine.
	Session func(balancer.SessionRecord)
	// Changed, when set, is told of each change of a backend's state. See [balancer.Options].
	Changed func(balancer.Change)
	// Program is the file that an upgrade starts; without it there is none. See [upgrade.Program].
	Program string
	// Predecessor, when set, is the process whose place this one takes.
	Predecessor *upgrade.Predecessor
}

// Daemon is one balancer with everything around it.
type Daemon struct {
	inForce   atomic.Pointer[config.File]
	options   Options
	output    *output
	repeats   *repeats.Handler // in front of output
	logging   logging
	log       *slog.Logger
	metrics   *metrics.Metrics
	fleet     *probe.Fleet[*balancer.Backend]
	balancer  *balancer.Balancer
	control   *control.Server
	admin     *admin
	told      *readiness // what keepalived knows
	finding   discoveries
	orders    *orders
	reloader  reloader
	herald    atomic.Pointer[herald] // once the service manager may be told of reloads
	socket    *net.UnixListener      // the control socket; nil without one
	grant     func() error           // makes the access to the control socket of a process before what it should be; may be nil
	former    formers
	upgrading upgrading
	serving   sync.WaitGroup // the control socket's goroutine
	closing   sync.Once
}

// New builds a daemon. It probes backends from now on; it listens nowhere before Start. Close must be called in any case.
func New(file *config.File, o Options) (*Daemon, error) {
	d := &Daemon{options: o}
	d.inForce.Store(file)
	d.logging.set(file.Log)
	output, err := d.logging.open(file.Log.File, o.Output)
	if err != nil {
		return nil, ListenErrors{fmt.Errorf("%s: log.file: %w", file.Name, err)}
	}
	d.output, d.repeats = output, repeats.New(d.logging.handler(output))
	d.log = slog.New(d.repeats)
	d.upgrading = upgrading{requests: make(chan upgradeRequest), attempts: make(chan attempt, 1)}
	d.metrics = metrics.New(metrics.BuildInfo{Version: o.Version, Revision: o.Revision, GoVersion: runtime.Version()})
	d.fleet = probe.NewFleet(d.log, d.metrics, report)
	d.told = newReadiness(file.Admin.ReadinessFile, func() error { return d.balancer.Ready() }, d.log.With("part", "readiness"))
	var handover *balancer.Handover
	if o.Predecessor != nil {
		handover = o.Predecessor.Offer.State
	}
	b, err := balancer.New(file.Balancer, balancer.Options{
		Handover: handover,
		Inherited: func(listener string, bind netip.AddrPort) *os.File {
			return o.Predecessor.Take(listenerOwner(listener), bind.String())
		},
		Log:            d.log,
		Metrics:        d.metrics,
		Watcher:        watcher{d.fleet, d.probeConfig},
		Sessions:       d.sessionTeller(),
		SessionBegun:   o.Session != nil,
		SessionsWanted: d.wantsSessions,
		Changed:        d.changed,
	})
	if err != nil {
		d.fleet.Close()
		d.repeats.Close()
		d.output.Close()
		return nil, fmt.Errorf("daemon: %w", err)
	}
	d.balancer = b
	d.former.counted = b.SetFormer
	if o.Predecessor != nil {
		d.former.expect(o.Predecessor.Offer.Counts)
	}
	d.control = control.NewServer(b, control.About{Version: o.Version, PID: os.Getpid(), File: file.Name}, d.log.With("part", "control"))
	d.orders = &orders{path: file.Admin.StateFile, balancer: b, log: d.log}
	if o.Predecessor == nil {
		d.orders.restore()
	} // else they were handed over
	d.control.KeepOrders(func() error {
		d.former.order(b.Orders())
		return d.orders.keep()
	})
	d.control.Discoveries = d.finding.health
	succession := control.Succession{Former: d.former.list}
	if o.Program != "" { // nobody obeys in the demonstration
		succession.Upgrade = d.upgradeBy
	}
	d.control.Succeed(succession)
	d.reloader.daemon, d.reloader.asked = d, make(chan string, 1)
	d.control.Reloader = &d.reloader
	d.admin = newAdmin(d)
	tuneMemory(b)
	return d, nil
}

// probeConfig says how a backend is probed.
func (d *Daemon) probeConfig(b *balancer.Backend) probe.Config {
	if d.options.Probe != nil {
		return d.options.Probe(b)
	}
	c := d.file().Probes[b.Pool.Name()]
	if own := b.Config().HTTP; own != "" {
		c.HTTP = own
	}
	return c
}

// changed is told of each change of a backend's state.
func (d *Daemon) changed(c balancer.Change) {
	d.told.nudge()
	if d.options.Changed != nil {
		d.options.Changed(c)
	}
}

// file is the configuration that is in force.
func (d *Daemon) file() *config.File { return d.inForce.Load() }

// Balancer is the balancer that the daemon runs.
func (d *Daemon) Balancer() *balancer.Balancer { return d.balancer }

// Log is the daemon's log.
func (d *Daemon) Log() *slog.Logger { return d.log }

// Start opens the admin addresses, the control socket and the listeners: all of them or, with an error, none. What the
// file asks for and can't be had is a ListenErrors.
func (d *Daemon) Start() error {
	failed := d.listenControl()
	failed = append(failed, d.admin.listen(addressesOf(d.file(), "admin"))...)
	if len(failed) > 0 {
		return failed
	}
	if d.options.Predecessor == nil {
		if err := d.told.open(); err != nil {
			return ListenErrors{fmt.Errorf("%s: admin.readiness_file: %w", d.file().Name, err)}
		}
	}
	d.finding.start(d)
	if err := d.balancer.Start(); err != nil {
		return explain(d.file(), err)
	}
	if err := d.succeed(); err != nil {
		return err
	}
	d.told.follow()
	d.reloader.start()
	d.admin.serve()
	d.serveControl()
	d.log.Info("serving", "version", d.options.Version, "file", d.file().Name, "listeners", d.listening(),
		"admin", d.AdminAddresses(), "socket", d.file().Admin.Socket)
	for _, w := range d.file().Warnings {
		d.log.Warn("the configuration looks odd", "problem", w.Error())
	}
	return nil
}

// listenControl opens the control socket, or goes on with that of a process before this one.
func (d *Daemon) listenControl() ListenErrors {
	path := d.file().Admin.Socket
	if path == "" {
		return nil
	}
	var l net.Listener
	var err error
	if file := d.options.Predecessor.Take(controlOwner, path); file != nil && control.Present(path) {
		l, err = net.FileListener(file)
		d.grant = d.grantAccess
	} else {
		l, err = d.newSocket(path)
	}
	if err != nil {
		return ListenErrors{fmt.Errorf("%s: admin.socket: %w", d.file().Name, err)}
	}
	d.socket = l.(*net.UnixListener)
	return nil
}

// newSocket makes the control socket.
func (d *Daemon) newSocket(path string) (net.Listener, error) {
	access, err := d.socketAccess()
	if err != nil {
		return nil, err
	}
	return control.Listen(path, access)
}

// grantAccess makes the access to the control socket of a process before this one what it should be.
func (d *Daemon) grantAccess() error {
	access, err := d.socketAccess()
	if err != nil {
		return err
	}
	return control.Grant(d.file().Admin.Socket, access)
}

// socketAccess is who may give orders.
func (d *Daemon) socketAccess() (control.Access, error) {
	a := d.file().Admin
	owner, err := config.UserID(a.SocketOwner)
	if err != nil {
		return control.Access{}, fmt.Errorf("socket_owner: %w", err)
	}
	group, err := config.GroupID(a.SocketGroup)
	if err != nil {
		return control.Access{}, fmt.Errorf("socket_group: %w", err)
	}
	return control.Access{Mode: a.SocketMode, Owner: owner, Group: group, SetOwner: a.SocketOwner != "", SetGroup: a.SocketGroup != ""}, nil
}

func (d *Daemon) serveControl() {
	if d.socket == nil {
		return
	}
	d.socket.SetUnlinkOnClose(true) // which is not so for one that another process has made
	if d.grant != nil {
		if err := d.grant(); err != nil {
			d.log.Error("who may give orders is as before the upgrade", "error", err)
		}
	}
	d.serving.Go(func() {
		if err := d.control.Serve(d.socket); err != nil {
			d.log.Error("the control socket is not served any more", "error", err)
		}
	})
}

// listening lists where clients are served.
func (d *Daemon) listening() []string {
	var all []string
	for _, l := range d.balancer.Status().Listeners {
		for _, a := range l.Addresses {
			all = append(all, l.Name+"="+a.String())
		}
	}
	return all
}

// AdminAddresses are those on which the admin pages are served, with the ports that the kernel chose.
func (d *Daemon) AdminAddresses() []netip.AddrPort { return d.admin.addresses() }

// Shutdown ends the daemon in order: unready at once, accepting for the file's grace, draining for its drain, and then
// everything that is left. The admin addresses and the control socket answer until the last session has ended. When ctx ends
// all that remains is cut short. Shutdown implies Close.
func (d *Daemon) Shutdown(ctx context.Context) {
	d.leave()
	d.balancer.Shutdown(ctx, d.file().Shutdown.Grace, d.file().Shutdown.Drain)
	d.Close()
}

// leave tells keepalived, before anything else ends, that this node takes no clients any more.
func (d *Daemon) leave() { d.told.leave(errors.New("shutting down")) }

// Close ends everything at once, and waits until nothing runs any more.
func (d *Daemon) Close() {
	d.closing.Do(func() {
		d.told.close(errors.New("ended"))
		d.reloader.close()
		d.finding.close()
		d.balancer.Close()
		d.fleet.Close()
		d.log.Info("ended")
		d.admin.close()
		d.control.Close()
		if d.socket != nil {
			_ = d.socket.Close() // one that was never served
		}
		d.serving.Wait()
		d.former.close()
		d.repeats.Close()
		d.output.Close()
	})
}
