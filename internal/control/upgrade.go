package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// LongestUpgrade bounds what may be asked for as the time that a new process may take.
	LongestUpgrade = 10 * time.Minute
	// upgradeSlack is what an upgrade may take on top of that: the end of a process that was too slow.
	upgradeSlack = 15 * time.Second
	// heldAgain is when a client asks again that has met a server which holds orders back.
	heldAgain = 50 * time.Millisecond
)

// Upgraded tells of an upgrade that has succeeded.
type Upgraded struct {
	// PID and Version are those of the process that serves now, FormerPID is that of the one before it, which goes on with
	// so many Sessions until they end.
	PID       int    `json:"pid"`
	Version   string `json:"version"`
	FormerPID int    `json:"former_pid"`
	Sessions  int    `json:"sessions"`
}

// FormerProcess is a process from before an upgrade, which goes on with its sessions.
type FormerProcess struct {
	PID      int `json:"pid"`
	Sessions int `json:"sessions"`
}

// Succession is what a server needs to know of upgrades. Its zero value knows of none.
type Succession struct {
	// Upgrade starts a new process, which may take so long until it serves; 0 means as long as is usual.
	Upgrade func(ctx context.Context, timeout time.Duration, by string) (Upgraded, error)
	// Former lists the processes from before.
	Former func() []FormerProcess
}

// Succeed tells a server of upgrades, before it serves.
func (s *Server) Succeed(how Succession) { s.succession = how }

// Hold makes clients of the server wait that want to change something, for another process is about to answer in its place. Orders
// that are being carried out have been when it returns.
func (s *Server) Hold(on bool) {
	s.ordering.Lock()
	defer s.ordering.Unlock()
	s.held.Store(on)
}

// beginOrder makes Hold wait until ordering is unlocked again; it reports false, and does not, while orders are held back.
func (s *Server) beginOrder() bool {
	s.ordering.RLock()
	if s.held.Load() {
		s.ordering.RUnlock()
		return false
	}
	return true
}

// Leave is Close for a server in whose place another process answers from now on: answered is called as soon as nobody new is
// answered here, and those who wait for an answer still get it.
func (s *Server) Leave(answered func()) {
	s.http.RegisterOnShutdown(answered)
	s.Close()
}

// unlessHeld sends requests back that must not be carried out now.
func (s *Server) unlessHeld(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.held.Load() && r.Method != http.MethodGet {
			sendBack(w)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func sendBack(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	answer(w, http.StatusServiceUnavailable, Fault{"another process is about to take over: ask again"})
}

// upgradeOrder asks for an upgrade.
type upgradeOrder struct {
	Timeout time.Duration `json:"timeout"`
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	var asked upgradeOrder
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, longestBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&asked); err != nil || asked.Timeout < 0 || asked.Timeout > LongestUpgrade {
		answer(w, http.StatusBadRequest, Fault{fmt.Sprintf(`the request must be {"timeout": …}, in nanoseconds, up to %v`, LongestUpgrade)})
		return
	}
	if s.succession.Upgrade == nil {
		answer(w, http.StatusNotImplemented, Fault{"this process can't be upgraded: restart it"})
		return
	}
	over := time.Now().Add(max(asked.Timeout, time.Minute) + upgradeSlack)
	answering := http.NewResponseController(w)
	_, _ = answering.SetReadDeadline(over), answering.SetWriteDeadline(over) // it is the usual bounds, otherwise
	// An upgrade goes on when the one who asked for it has gone.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), over)
	defer cancel()
	done, err := s.succession.Upgrade(ctx, asked.Timeout, by(r.Context()))
	if err != nil {
		answer(w, http.StatusInternalServerError, Fault{err.Error()})
		return
	}
	answer(w, http.StatusOK, done)
}

// Upgrade has the process start its binary anew and leave everything to the new process, which may take so long until
// it serves; 0 means as long as is usual. Errors: ErrUnreachable, or why nothing has changed.
func (c *Client) Upgrade(ctx context.Context, timeout time.Duration) (Upgraded, error) {
	patient := Client{path: c.path, http: c.http}
	patient.http.Timeout = max(timeout, time.Minute) + upgradeSlack + patience
	var done Upgraded
	_, err := patient.ask(ctx, http.MethodPost, "/v1/upgrade", upgradeOrder{timeout}, &done)
	return done, err
}

// send sends a request, and again as long as the process that answers leaves it to another one.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	for over := time.Now().Add(patience); ; {
		request, err := http.NewRequestWithContext(ctx, method, "http://fairlead"+path, bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := c.http.Do(request)
		if err != nil {
			return nil, c.unreachable(err)
		}
		held := response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != ""
		if !held || time.Now().After(over) {
			return response, nil
		}
		response.Body.Close()
		select {
		case <-ctx.Done():
			return nil, c.unreachable(ctx.Err())
		case <-time.After(heldAgain):
		}
	}
}
