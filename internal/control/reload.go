package control

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"fairlead/internal/config"
)

// FileError is a configuration that can't be put in force: each reason on a line of its own, with file and line where there
// are.
type FileError struct{ Message string }

// Error tells the reasons.
func (e *FileError) Error() string { return e.Message }

// Reload has the configuration file read again and put in force. Errors: *FileError, after which nothing has changed, as
// after every other one; ErrUnreachable.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var done Reloaded
	_, err := c.ask(ctx, http.MethodPost, "/v1/reload", nil, &done)
	return done, err
}

// Diff asks what Reload would do. Errors: *FileError, ErrUnreachable.
func (c *Client) Diff(ctx context.Context) (Reloaded, error) {
	var found Reloaded
	_, err := c.ask(ctx, http.MethodGet, "/v1/diff", nil, &found)
	return found, err
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	who := strings.TrimSpace("the command " + by(r.Context()))
	s.answerReload(w, func(from Reloader) (Reloaded, error) { return from.Reload(who) })
}

func (s *Server) diff(w http.ResponseWriter, _ *http.Request) { s.answerReload(w, Reloader.Diff) }

func (s *Server) answerReload(w http.ResponseWriter, do func(Reloader) (Reloaded, error)) {
	if s.Reloader == nil {
		answer(w, http.StatusServiceUnavailable, Fault{"this fairlead has no file to reload"})
		return
	}
	done, err := do(s.Reloader)
	var faulty *FileError
	switch {
	case errors.As(err, &faulty):
		answer(w, http.StatusUnprocessableEntity, Fault{faulty.Message})
	case err != nil:
		answer(w, http.StatusServiceUnavailable, Fault{err.Error()})
	default:
		if done.Changes == nil {
			done.Changes = []config.Change{} // a list also when it is empty
		}
		answer(w, http.StatusOK, done)
	}
}
