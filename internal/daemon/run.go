package daemon

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"fairlead/internal/config"
)

// Run serves what the file says until a signal ends it. SIGTERM or SIGINT shut down in order; another one of them cuts
// that short. Errors are those of New and Start; a shutdown by signal is none.
func Run(file *config.File, o Options) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
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
	d.obey(signals, h)
	return nil
}

// obey returns when the daemon has been ended by signals.
func (d *Daemon) obey(signals <-chan os.Signal, h *herald) {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	var over chan struct{} // closed when the shutdown is complete; nil before it begins
	for {
		select {
		case <-over:
			return
		case <-h.beats:
		case s := <-signals:
			switch {
			case s == syscall.SIGHUP:
				d.reopenLog()
				d.log.Warn("SIGHUP: this build can't reload its configuration yet; restart to apply changes")
			case over == nil:
				d.log.Info("shutdown asked for", "signal", s.String())
				over = make(chan struct{})
				d.leave()
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
