package daemon

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/systemd"
)

const (
	// heraldEvery is how often the line of "systemctl status" is made anew where no watchdog asks for more.
	heraldEvery = 5 * time.Second
	// closingTime is what an end may take beyond grace and drain.
	closingTime = 10 * time.Second
)

// herald tells the service manager how the daemon is. Without a service manager it does nothing.
type herald struct {
	daemon   *Daemon
	notifier *systemd.Notifier
	beats    chan struct{} // the main goroutine takes from it, which proves that it is alive
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// newHerald returns a herald for the service manager that the environment names.
func (d *Daemon) newHerald() *herald {
	notifier, err := systemd.FromEnvironment()
	if err != nil {
		d.log.Warn("the service manager can't be told how this service is", "error", err)
	}
	return &herald{daemon: d, notifier: notifier, beats: make(chan struct{}), cancel: func() {}}
}

// ready says that the service has started, and goes on telling how it is.
func (h *herald) ready() {
	if h.notifier == nil {
		return
	}
	states := []string{systemd.Ready, systemd.Status(h.line())}
	if h.daemon.options.Predecessor != nil {
		states = append(states, systemd.MainPID(os.Getpid())) // the one before has said so; this is for those who could not hear it
	}
	h.tell(states...)
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	h.running.Add(1)
	go h.run(ctx)
}

func (h *herald) run(ctx context.Context) {
	defer h.running.Done()
	every := heraldEvery
	if h.notifier.Watchdog > 0 {
		every = min(every, h.notifier.Watchdog/2) // as sd_watchdog_enabled(3) advises
	}
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		h.beat(ctx, every)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// beat gives one sign of life, if all is alive: the main goroutine, each event loop, and, as the status can be
// gathered, the pools. If not, the service manager gets no sign, and ends the process in due time.
func (h *herald) beat(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case h.beats <- struct{}{}:
	case <-ctx.Done():
		return
	}
	if err := h.daemon.balancer.Pulse(ctx); err != nil {
		h.daemon.log.Error("no sign of life for the service manager", "error", err)
		return
	}
	states := []string{systemd.Status(h.line())}
	if h.notifier.Watchdog > 0 {
		states = append(states, systemd.Alive)
	}
	h.tell(states...)
}

// reloading says that a step has begun after which the service manager is told Ready again.
func (h *herald) reloading() { h.tell(systemd.Reloading()) }

// reloaded says that the step is over.
func (h *herald) reloaded() { h.tell(systemd.Ready, systemd.Status(h.line())) }

// handOver leaves the service manager to another process, from which it hears that the service is ready.
func (h *herald) handOver(pid int) {
	h.cancel()
	h.running.Wait()
	h.tell(systemd.MainPID(pid))
}

// takeBack undoes handOver.
func (h *herald) takeBack() {
	if h.notifier == nil {
		return
	}
	h.tell(systemd.MainPID(os.Getpid()))
	h.ready()
}

// stopping says that the end has begun, and how long it may take.
func (h *herald) stopping() {
	s := h.daemon.file().Shutdown
	h.tell(systemd.Stopping, systemd.ExtendTimeout(s.Grace+s.Drain+closingTime))
}

func (h *herald) tell(states ...string) {
	if err := h.notifier.Notify(states...); err != nil {
		h.daemon.log.Warn("the service manager can't be told how this service is", "error", err)
	}
}

// line is the state of the service for people.
func (h *herald) line() string { return statusLine(h.daemon.balancer.Status()) }

func statusLine(s balancer.Status) string {
	all, up := 0, 0
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			all++
			if b.State == balancer.Up {
				up++
			}
		}
	}
	line := fmt.Sprintf("%d of %d backends up, %d sessions", up, all, s.Sessions)
	if !s.Ready {
		line += "; " + s.NotReady
	}
	return line
}

// close ends it.
func (h *herald) close() {
	h.cancel()
	h.running.Wait()
	_ = h.notifier.Close()
}
