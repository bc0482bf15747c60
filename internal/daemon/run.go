package daemon

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"fairlead/internal/config"
)

// Run serves what the file says until a signal ends it. SIGTERM or SIGINT shut down in order; another one of them cuts
// that short. SIGHUP reloads the file, SIGUSR2 is an upgrade. Errors are those of New and Start, and
// *ExitError; a shutdown by signal is none.
func Run(file *config.File, o Options) error {
	// When whoever reads standard error has ended, the log is lost, and the clients need not be.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	d, err := New(file, o)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Start(); err != nil {
		return err
	}
	h := d.newHerald()
	defer h.close()
	h.ready()
	d.herald.Store(h)
	return d.obey(signals, h)
}

// obey returns when the daemon has been ended by signals, or by an upgrade. Errors: *ExitError.
func (d *Daemon) obey(signals <-chan os.Signal, h *herald) error {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	defer d.endAttempt()
	var over chan struct{} // closed when the shutdown is complete; nil before it begins
	for {
		select {
		case <-over:
			return nil
		case <-h.beats:
		case r := <-d.upgrading.requests:
			if over != nil {
				d.refuse(r, "this process is told to end")
			} else {
				d.beginUpgrade(r, h)
			}
		case a := <-d.upgrading.attempts:
			if heir := d.settle(a, h, over != nil); heir != nil {
				return d.linger(signals, heir)
			}
		case s := <-signals:
			switch {
			case s == syscall.SIGUSR2 && over == nil:
				d.beginUpgrade(upgradeRequest{timeout: UpgradeTimeout, by: "SIGUSR2", answer: make(chan upgradeAnswer, 1)}, h)
			case s == syscall.SIGUSR2:
				d.log.Warn("no upgrade: this process is told to end")
			case s == syscall.SIGHUP:
				d.reopenLog()
				d.former.reopenLogs()
				d.reloader.ask("SIGHUP")
			case over == nil:
				d.log.Info("shutdown asked for", "signal", s.String())
				over = make(chan struct{})
				d.leave()
				if d.upgrading.cancel != nil {
					d.upgrading.cancel()
				}
				h.stopping()
				go func() {
					defer close(over)
					d.Shutdown(ctx)
				}()
			default:
				d.log.Warn("asked again: ending at once", "signal", s.String())
				cut()
			}
		}
	}
}
