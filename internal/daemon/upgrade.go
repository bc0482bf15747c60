package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/systemd"
	"fairlead/internal/upgrade"
	"fairlead/metrics"
)

// UpgradeTimeout is how long a new process may take until it serves, unless somebody says otherwise.
const UpgradeTimeout = 30 * time.Second

// errUpgradeRefused is wrapped by errors of upgrades that don't even begin.
var errUpgradeRefused = errors.New("upgrade refused")

// upgradeRequest asks for an upgrade. Its answer comes once.
type upgradeRequest struct {
	timeout time.Duration
	by      string
	answer  chan upgradeAnswer // of one element
}

type upgradeAnswer struct {
	done control.Upgraded
	err  error
}

// attempt is what has come of the start of a new process.
type attempt struct {
	request upgradeRequest
	heir    *upgrade.Heir
	err     error
}

// upgrading is the part of a daemon that replaces it. All but requests belongs to the goroutine of obey.
type upgrading struct {
	requests chan upgradeRequest
	attempts chan attempt
	cancel   context.CancelFunc // of the attempt under way; nil when there is none
}

// Upgrade starts the binary anew, and returns when the new process has taken over, or why it has not; then nothing
// has changed. by says who wants it, for the log.
func (d *Daemon) Upgrade(ctx context.Context, timeout time.Duration, by string) (control.Upgraded, error) {
	r := upgradeRequest{timeout: timeout, by: by, answer: make(chan upgradeAnswer, 1)}
	select {
	case d.upgrading.requests <- r:
	case <-ctx.Done():
		return control.Upgraded{}, ctx.Err()
	}
	select {
	case a := <-r.answer:
		return a.done, a.err
	case <-ctx.Done():
		return control.Upgraded{}, ctx.Err()
	}
}

// refuse answers a request that can't be carried out now.
func (d *Daemon) refuse(r upgradeRequest, why string) {
	err := fmt.Errorf("%w: %s", errUpgradeRefused, why)
	d.log.Warn("no upgrade", "by", r.by, "reason", why)
	r.answer <- upgradeAnswer{err: err}
}

// beginUpgrade starts a new process, unless there is a reason not to. What comes of it is sent to attempts.
func (d *Daemon) beginUpgrade(r upgradeRequest, h *herald) {
	if d.upgrading.cancel != nil {
		d.refuse(r, "an upgrade is under way already")
		return
	}
	if d.options.Program == "" {
		d.refuse(r, "this process does not know which file it was started from")
		return
	}
	if !d.reloader.suspend() {
		d.refuse(r, "a reload is under way: try again")
		return
	}
	offer, sockets, release, err := d.offer()
	if err != nil {
		d.reloader.resume(false)
		r.answer <- upgradeAnswer{err: err}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	d.upgrading.cancel = cancel
	d.log.Info("upgrade: starting the new process", "by", r.by, "program", d.options.Program, "timeout", r.timeout)
	h.reloading()
	go func() {
		defer release()
		heir, err := upgrade.Begin(ctx, upgrade.Start{Program: d.options.Program, Arguments: os.Args,
			Environment: systemd.ForSuccessor(os.Environ(), os.Getpid()), Offer: offer, Sockets: sockets})
		d.upgrading.attempts <- attempt{request: r, heir: heir, err: err}
	}()
}

// offer is what a new process is told and given. release is to be called when it has been sent.
func (d *Daemon) offer() (m upgrade.Message, sockets []syscall.Conn, release func(), err error) {
	listening, err := d.balancer.Sockets()
	if err != nil {
		return m, nil, nil, err
	}
	add := func(owner, bind string, s syscall.Conn) {
		m.Sockets = append(m.Sockets, upgrade.Socket{Owner: owner, Bind: bind})
		sockets = append(sockets, s)
	}
	for _, s := range listening {
		add(listenerOwner(s.Listener), s.Bind.String(), s.File)
	}
	for _, place := range d.admin.places {
		add(adminOwner, place.bind, place.socket)
	}
	if d.socket != nil {
		add(controlOwner, d.file().Admin.Socket, d.socket)
	}
	state := d.balancer.Handover()
	m.Build, m.State, m.Counts = d.options.Version, &state, d.former.total()
	m.Counts.Add(d.balancer.Counts())
	return m, sockets, func() {
		for _, s := range listening {
			s.File.Close()
		}
	}, nil
}

// endAttempt waits for the end of the attempt that is under way, if there is one.
func (d *Daemon) endAttempt() {
	if d.upgrading.cancel == nil {
		return
	}
	d.upgrading.cancel()
	a := <-d.upgrading.attempts
	if a.err == nil {
		a.heir.Kill()
		a.err = fmt.Errorf("%w: this process has ended", errUpgradeRefused)
	}
	d.reloader.resume(false)
	a.request.answer <- upgradeAnswer{err: a.err}
}

// Who a socket belongs to, in offers.
const (
	adminOwner     = "admin"
	controlOwner   = "control"
	readinessOwner = "readiness"
)

func listenerOwner(name string) string { return "listener " + name }

// settle ends an attempt: with a new process that serves, this one lets go of everything but its sessions. It returns the
// new process, or nil when all is as it was.
func (d *Daemon) settle(a attempt, h *herald, ending bool) *upgrade.Heir {
	d.upgrading.cancel()
	d.upgrading.cancel = nil
	if a.err == nil && ending {
		a.heir.Kill()
		a.err = fmt.Errorf("%w: this process is told to end", errUpgradeRefused)
	}
	if a.err == nil {
		a.err = d.letGo(a.heir, h)
	}
	d.reloader.resume(a.err == nil)
	if a.err != nil {
		d.log.Error("upgrade failed: everything is as it was", "by", a.request.by, "error", a.err)
		d.metrics.Upgrade(metrics.UpgradeFailure)
		h.reloaded()
		a.request.answer <- upgradeAnswer{err: a.err}
		return nil
	}
	done := control.Upgraded{PID: a.heir.PID, Version: a.heir.Build, FormerPID: os.Getpid(), Sessions: d.balancer.Sessions()}
	d.log.Info("upgrade: another process has taken over", "by", a.request.by, "pid", done.PID, "version", done.Version, "sessions", done.Sessions)
	d.withdraw(a.heir, func() { a.request.answer <- upgradeAnswer{done: done} })
	return a.heir
}

// letGo leaves everything that there is but once to the new process: the readiness file, the service manager's ear, the
// control socket, the lines of processes before. With an error nothing has changed.
func (d *Daemon) letGo(heir *upgrade.Heir, h *herald) error {
	d.control.Hold(true)
	keepsFile := upgrade.Uses(heir.Uses, readinessOwner, d.file().Admin.ReadinessFile)
	if keepsFile {
		d.told.letGo()
	}
	d.former.adopted(heir.PID)
	before := d.former.pause()
	yours := upgrade.Message{Kind: upgrade.Yours, Orders: d.balancer.Orders()}
	var lines []syscall.Conn
	for _, f := range before {
		yours.Former = append(yours.Former, upgrade.Former{PID: f.pid, Counts: f.counts})
		lines = append(lines, f.line)
	}
	h.handOver(heir.PID)
	if err := heir.Send(yours, lines...); err != nil {
		heir.Kill()
		h.takeBack()
		d.former.unpause()
		d.former.adopted(os.Getpid())
		d.told.takeBack()
		d.control.Hold(false)
		return fmt.Errorf("upgrade: the new process ended as soon as it served: %w", err)
	}
	d.former.close()
	if !keepsFile {
		d.told.close(errors.New("another process has taken over, and keeps no such file"))
	}
	return nil
}

// withdraw stops listening everywhere, and then has whoever asked for the upgrade told: what is asked next is answered by
// the new process. The sessions go on.
func (d *Daemon) withdraw(heir *upgrade.Heir, tell func()) {
	d.balancer.Retire()
	if d.socket != nil {
		d.socket.SetUnlinkOnClose(!upgrade.Uses(heir.Uses, controlOwner, d.file().Admin.Socket))
	}
	d.control.Leave(tell)
	d.admin.close()
}

// succeed takes the place of the process that has started this one, which listens, and lets it go.
func (d *Daemon) succeed() error {
	p := d.options.Predecessor
	if p == nil {
		return nil
	}
	var keeps []upgrade.Socket
	if path := d.file().Admin.ReadinessFile; path != "" {
		keeps = append(keeps, upgrade.Socket{Owner: readinessOwner, Bind: path})
	}
	yours, lines, err := p.Serve(d.options.Version, keeps...)
	if err != nil {
		return err
	}
	d.told.take()
	d.balancer.ForgetHandover()
	if yours.Kind == upgrade.Yours {
		d.balancer.Reorder(yours.Orders)
	}
	_ = d.orders.keep() // the process before may have kept them elsewhere, or not at all; the log tells of errors
	arrived := []*former{{pid: p.Offer.PID, line: p.Line, counts: d.countsOf(p, yours)}}
	for i, l := range lines {
		arrived = append(arrived, &former{pid: yours.Former[i].PID, line: l, counts: yours.Former[i].Counts})
	}
	d.former.arrive(arrived)
	d.metrics.Upgrade(metrics.UpgradeSuccess)
	d.log.Info("upgrade: this process has taken over", "from", p.Offer.PID, "version", p.Offer.Build)
	return nil
}

// countsOf are the sessions of the process before alone: its offer counted those of the processes before it, too.
func (d *Daemon) countsOf(p *upgrade.Predecessor, yours upgrade.Message) balancer.Counts {
	own := balancer.Counts{}
	own.Add(p.Offer.Counts)
	for _, f := range yours.Former {
		for pool, backends := range f.Counts {
			for name, n := range backends {
				if own[pool][name] > 0 {
					own[pool][name] = max(0, own[pool][name]-n)
				}
			}
		}
	}
	return own
}

// upgradeBy answers the control socket.
func (d *Daemon) upgradeBy(ctx context.Context, timeout time.Duration, by string) (control.Upgraded, error) {
	if timeout <= 0 {
		timeout = UpgradeTimeout
	}
	return d.Upgrade(ctx, timeout, strings.TrimPrefix(by, "by "))
}
