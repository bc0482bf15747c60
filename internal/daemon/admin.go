package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"fairlead/internal/config"
	"fairlead/internal/netlimit"
	"fairlead/internal/statuspage"
)

// Bounds of the admin server: whoever reaches it may neither hold it up nor grow it.
const (
	adminConnections = 256
	adminHeaders     = 16 << 10
	adminRead        = 5 * time.Second
	adminWrite       = 30 * time.Second // a scrape over a slow line
	adminIdle        = 2 * time.Minute  // longer than the usual scrape interval
	adminFarewell    = time.Second      // for answers under way at the end
)

// admin serves what may be read over TCP: metrics, health and status. It can change nothing.
type admin struct {
	daemon    *Daemon
	log       *slog.Logger
	server    *http.Server
	listeners []net.Listener
	places    []adminPlace // of listeners
	serving   sync.WaitGroup
}

func newAdmin(d *Daemon) *admin {
	a := &admin{daemon: d, log: d.log.With("part", "admin")}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", statuspage.Handler())
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /history", a.history)
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", d.metrics.Handler())
	a.server = &http.Server{
		Handler:           guard(mux),
		ReadHeaderTimeout: adminRead,
		ReadTimeout:       adminRead,
		WriteTimeout:      adminWrite,
		IdleTimeout:       adminIdle,
		MaxHeaderBytes:    adminHeaders,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	return a
}

// adminPlace is a listening socket, to be handed to another process.
type adminPlace struct {
	bind   string // as it is configured
	socket *net.TCPListener
}

// listen opens the addresses, all that can be opened. The errors tell of the others.
func (a *admin) listen(places []config.ListenAddress) []error {
	var failed []error
	for _, place := range places {
		l, err := a.listenAt(place.Address)
		if err != nil {
			failed = append(failed, placed(place, err))
			continue
		}
		if socket, ok := l.(*net.TCPListener); ok {
			a.places = append(a.places, adminPlace{place.Address.String(), socket})
		}
		a.listeners = append(a.listeners, netlimit.Listener(l, adminConnections))
	}
	return failed
}

// listenAt opens an address, or goes on with the socket of a process before this one.
func (a *admin) listenAt(address netip.AddrPort) (net.Listener, error) {
	if file := a.daemon.options.Predecessor.Take(adminOwner, address.String()); file != nil {
		return net.FileListener(file)
	}
	return net.Listen(network(address.Addr()), address.String())
}

// network is the one on which an address means itself alone; [::] covers IPv4 too.
func network(a netip.Addr) string {
	switch {
	case a.Is4():
		return "tcp4"
	case a.IsUnspecified():
		return "tcp"
	}
	return "tcp6"
}

func (a *admin) serve() {
	for _, l := range a.listeners {
		a.serving.Add(1)
		go a.serveOn(l)
	}
}

func (a *admin) serveOn(l net.Listener) {
	defer a.serving.Done()
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("the admin address is not served any more", "address", l.Addr().String(), "error", err)
	}
}

func (a *admin) addresses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, l := range a.listeners {
		if t, ok := l.Addr().(*net.TCPAddr); ok {
			all = append(all, netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port()))
		}
	}
	return all
}

// close ends the server; answers under way get a moment.
func (a *admin) close() {
	ctx, cancel := context.WithTimeout(context.Background(), adminFarewell)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close()
	}
	for _, l := range a.listeners { // those that were never served
		_ = l.Close()
	}
	a.serving.Wait()
}

// healthz says that the process is alive.
func (a *admin) healthz(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") }

// readyz says whether clients should be sent here.
func (a *admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := a.daemon.balancer.Ready(); err != nil {
		text(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	text(w, http.StatusOK, "ready")
}

// status is what "fairlead status --json" prints.
func (a *admin) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(a.daemon.control.Status()) // the peer may have gone
}

// history is the last fifteen minutes of all backends, or what came after the step that since names.
func (a *admin) history(w http.ResponseWriter, r *http.Request) {
	var since uint64
	if word := r.URL.Query().Get("since"); word != "" {
		var err error
		if since, err = strconv.ParseUint(word, 10, 63); err != nil {
			text(w, http.StatusBadRequest, "since must be the number of a step, as \"latest\" tells it")
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a.daemon.balancer.History(since)) // the peer may have gone
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintln(w, line)
}
