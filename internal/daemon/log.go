package daemon

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
)

// newHandler makes what writes lines as the file says.
func newHandler(to io.Writer, c config.Log) slog.Handler {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.NewJSONHandler(to, options)
	}
	return slog.NewTextHandler(to, options)
}

// openOutput opens the log that the file asks for; without one it is instead. Lines that are lost are told in the log's
// own format.
func openOutput(c config.Log, instead io.Writer) (*output, error) {
	to := instead
	if c.File != "" {
		f, err := openLog(c.File)
		if err != nil {
			return nil, err
		}
		to = f
	}
	return newOutput(to, func(to io.Writer, lost uint64) {
		slog.New(newHandler(to, c)).Error("log lines lost: they came faster than they could be written", "lost", lost)
	}), nil
}

// reopenLog opens the log's file anew, for somebody may have renamed it to make room for another one. Nothing is lost: what
// waits goes to the new one. When that can't be opened, the log goes on in the old one.
func (d *Daemon) reopenLog() {
	c := d.file.Log
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
	logged, told := d.file.Log.Sessions && d.file.Log.Level <= slog.LevelInfo, d.options.Session
	if !logged && told == nil {
		return nil
	}
	lines := slog.New(newHandler(patient{d.output}, d.file.Log))
	return func(r balancer.SessionRecord) {
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
