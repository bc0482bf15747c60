package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairlead/balancer"
	"fairlead/internal/netlimit"
	"fairlead/probe"
)

// Bounds of the server. Whoever can open the socket may give orders, and still must not hang or grow the process.
const (
	mostConnections = 64
	longestHeader   = 8 << 10
	longestBody     = 4 << 10
	timeToAsk       = 5 * time.Second
	timeToAnswer    = 30 * time.Second
	timeToIdle      = time.Minute
	timeToFinish    = time.Second // for answers under way at the end
)

// sessionsHeader tells how many sessions there are, of which the answer may have only some.
const sessionsHeader = "Fairlead-Sessions"

// Server answers at a control socket.
type Server struct {
	balancer *balancer.Balancer
	about    About
	kept     func() error // keeps the orders; may be nil
	// Discoveries, when set, is asked for what a status says of discovery. It is set before Serve.
	Discoveries func() []probe.DiscoveryHealth
	// Reloader, when set, reloads. It is set before Serve.
	Reloader   Reloader
	log        *slog.Logger
	http       *http.Server
	succession Succession
	held       atomic.Bool
	ordering   sync.RWMutex // read by each order that is carried out, and written by who holds orders back
}

// NewServer returns a server for a balancer.
func NewServer(b *balancer.Balancer, about About, log *slog.Logger) *Server {
	s := &Server{balancer: b, about: about, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.status)
	mux.HandleFunc("GET /v1/sessions", s.sessions)
	mux.HandleFunc("POST /v1/sessions/{id}/kill", s.kill)
	for _, o := range []balancer.Order{balancer.Enable, balancer.Drain, balancer.Disable} {
		mux.HandleFunc("POST /v1/backends/"+o.String(), func(w http.ResponseWriter, r *http.Request) { s.order(w, r, o) })
	}
	mux.HandleFunc("POST /v1/upgrade", s.upgrade)
	mux.HandleFunc("POST /v1/reload", s.reload)
	mux.HandleFunc("GET /v1/diff", s.diff)
	mux.HandleFunc("/", s.unknown)
	s.http = &http.Server{
		Handler:           notForPages(s.unlessHeld(mux)),
		ReadHeaderTimeout: timeToAsk,
		ReadTimeout:       timeToAsk,
		WriteTimeout:      timeToAnswer,
		IdleTimeout:       timeToIdle,
		MaxHeaderBytes:    longestHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, peer(c))
		},
	}
	return s
}

// Serve answers until Close, which makes it return nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(netlimit.Listener(l, mostConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("control: %w", err)
}

// Close ends Serve, and removes the socket. Answers under way get a moment.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), timeToFinish)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
	}
}

// Status is what /v1/status answers.
func (s *Server) Status() Status {
	made := Status{About: s.about, Now: time.Now(), Status: s.balancer.Status()}
	if s.Discoveries != nil {
		made.Discoveries = s.Discoveries()
	}
	if s.succession.Former != nil {
		made.Former = s.succession.Former()
	}
	return made
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, s.Status()) }

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	asked, err := readSessionsQuery(r.URL.Query())
	if err != nil {
		answer(w, http.StatusBadRequest, Fault{err.Error()})
		return
	}
	all := s.balancer.LiveSessions()
	w.Header().Set(sessionsHeader, strconv.Itoa(len(all)))
	if all = asked.choose(all); all == nil {
		all = []balancer.LiveSession{} // a list also when it is empty
	}
	answer(w, http.StatusOK, all)
}

func (s *Server) kill(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		answer(w, http.StatusBadRequest, Fault{fmt.Sprintf("%.40q is no number of a session", r.PathValue("id"))})
		return
	}
	killed, ok := s.balancer.Kill(id)
	if !ok {
		answer(w, http.StatusNotFound, Fault{fmt.Sprintf("no such session: %d: fairlead sessions lists them", id)})
		return
	}
	s.log.Info(strings.TrimSpace("session killed "+by(r.Context())), "id", id, "client", killed.Client, "user", killed.User, "backend", killed.Backend)
	answer(w, http.StatusOK, killed)
}

// notForPages refuses what a web page has sent, should somebody make the socket reachable for browsers: commands send neither
// of these headers, and browsers one of them with everything that could change something.
func notForPages(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
			answer(w, http.StatusForbidden, Fault{"refused: orders are not taken from web pages"})
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusNotFound, Fault{fmt.Sprintf("fairlead %s does not know %s %s", s.about.Version, r.Method, r.URL.Path)})
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the peer may have gone
}

// peerKey finds in a request's context who sent it.
type peerKey struct{}

// by says whose order it is, as far as the kernel tells.
func by(ctx context.Context) string {
	if name, _ := ctx.Value(peerKey{}).(string); name != "" {
		return "by " + name
	}
	return ""
}
