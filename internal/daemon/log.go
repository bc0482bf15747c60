package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
)

// logging is how all loggers write that it has made. It can change while they are in use.
type logging struct {
	level    slog.LevelVar
	json     atomic.Bool
	sessions atomic.Bool // a line for each session
}

// set makes it what the file says.
func (l *logging) set(c config.Log) {
	l.level.Set(c.Level)
	l.json.Store(c.Format == "json")
	l.sessions.Store(c.Sessions && c.Level <= slog.LevelInfo)
}

// handler makes what writes lines.
func (l *logging) handler(to io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: &l.level}
	return eitherFormat{logging: l, text: slog.NewTextHandler(to, options), json: slog.NewJSONHandler(to, options)}
}

// open opens the log's file; without a path it is instead. Lines that are lost are told in the log's own format.
func (l *logging) open(path string, instead io.Writer) (*output, error) {
	to := instead
	if path != "" {
		f, err := openLog(path)
		if err != nil {
			return nil, err
		}
		to = f
	}
	return newOutput(to, func(to io.Writer, lost uint64, why error) {
		log := slog.New(l.handler(to))
		if why != nil {
			log.Error("log lines lost: they could not be written", "lost", lost, "error", why)
		} else {
			log.Error("log lines lost: they came faster than they could be written", "lost", lost)
		}
	}), nil
}

// eitherFormat is a handler in both formats, of which one counts at a time.
type eitherFormat struct {
	logging    *logging
	text, json slog.Handler
}

// Enabled is as of both.
func (h eitherFormat) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.logging.level.Level()
}

// Handle writes a line.
func (h eitherFormat) Handle(ctx context.Context, r slog.Record) error {
	if h.logging.json.Load() {
		return h.json.Handle(ctx, r)
	}
	return h.text.Handle(ctx, r)
}

// WithAttrs is the handler for lines that all have these attributes.
func (h eitherFormat) WithAttrs(attrs []slog.Attr) slog.Handler {
	return eitherFormat{h.logging, h.text.WithAttrs(attrs), h.json.WithAttrs(attrs)}
}

// WithGroup is the handler for lines whose further attributes are in a group.
func (h eitherFormat) WithGroup(name string) slog.Handler {
	return eitherFormat{h.logging, h.text.WithGroup(name), h.json.WithGroup(name)}
}

// reopenLog opens the log's file anew, for somebody may have renamed it to make room for another one. Nothing is lost: what
// waits goes to the new one. When that can't be opened, the log goes on in the old one.
func (d *Daemon) reopenLog() {
	c := d.file().Log
	if c.File == "" {
		return
	}
	f, err := openLog(c.File)
	if err != nil {
		d.log.Error("the log's file can't be opened anew: the log goes on in the old one", "file", c.File, "error", err)
		return
	}
	d.output.redirect(f)
	d.log.Info("the log's file is opened anew", "file", c.File)
}

// sessionTeller is who is told of sessions: the log, and whoever asked for it.
func (d *Daemon) sessionTeller() func(balancer.SessionRecord) {
	told := d.options.Session
	lines := slog.New(d.logging.handler(patient{d.output}))
	return func(r balancer.SessionRecord) {
		logged := d.logging.sessions.Load()
		if logged && r.Lost > 0 {
			lines.Warn("session records lost: they came faster than they could be written", "lost", r.Lost)
		}
		if logged && r.End != "" {
			logSession(lines, r)
		}
		if told != nil {
			told(r)
		}
	}
}

// wantsSessions tells whether anybody wants to be told of sessions.
func (d *Daemon) wantsSessions() bool { return d.options.Session != nil || d.logging.sessions.Load() }

// logSession writes the line of a session that has ended. What peers call themselves is quoted by the handlers.
func logSession(lines *slog.Logger, r balancer.SessionRecord) {
	attributes := []slog.Attr{
		slog.String("client", clientText(r.Client)),
		slog.String("listener", r.Listener),
		slog.String("pool", r.Pool),
		slog.String("backend", r.Backend),
		slog.Uint64("connection_id", uint64(r.ConnectionID)),
		slog.String("user", r.User),
		slog.String("database", r.Database),
		slog.String("program", r.Program),
		slog.Uint64("to_server", r.ToServer),
		slog.Uint64("to_client", r.ToClient),
		slog.Duration("connect", r.Connect.Round(time.Microsecond)),
		slog.Duration("greeting", r.Greeting.Round(time.Microsecond)),
		slog.Duration("duration", r.Duration.Round(time.Microsecond)),
		slog.String("end", r.End),
	}
	if r.NotMoved != "" {
		attributes = append(attributes, slog.String("not_moved", r.NotMoved))
	}
	lines.LogAttrs(context.Background(), slog.LevelInfo, "session", attributes...)
}

// clientText is a client's address; one that could not be read any more is empty.
func clientText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
