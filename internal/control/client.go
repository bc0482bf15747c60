package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"fairlead/balancer"
)

// ErrUnreachable is wrapped by errors of a Client that found nobody at the socket.
var ErrUnreachable = errors.New("control: no answer")

// BackendError tells that a backend or a session is not there, or was not named clearly enough.
type BackendError struct{ Message string }

// Error says what is wrong with the name, and what may have been meant.
func (e *BackendError) Error() string { return "fairlead: " + e.Message }

// patience bounds one question and its answer.
const patience = 15 * time.Second

// Client asks the fairlead behind a control socket. It may be used by several goroutines.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client for the socket at path. It connects when it is used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: http.Client{
		Timeout:   patience,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// Status asks for everything that fairlead tells of itself.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	_, err := c.ask(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Sessions asks for sessions under way, and how many there are in all.
func (c *Client) Sessions(ctx context.Context, q SessionsQuery) (some []balancer.LiveSession, total int, err error) {
	path := "/v1/sessions"
	if v := q.values(); len(v) > 0 {
		path += "?" + v.Encode()
	}
	header, err := c.ask(ctx, http.MethodGet, path, nil, &some)
	if err != nil {
		return nil, 0, err
	}
	if total, err = strconv.Atoi(header.Get(sessionsHeader)); err != nil {
		total = len(some) // an older fairlead
	}
	return some, total, nil
}

// Order gives an order for a backend. Errors: *BackendError, ErrUnreachable.
func (c *Client) Order(ctx context.Context, o balancer.Order, i Instruction) (Ordered, error) {
	var done Ordered
	_, err := c.ask(ctx, http.MethodPost, "/v1/backends/"+o.String(), i, &done)
	return done, err
}

// Kill ends a session at once, and returns what it was. Errors: *BackendError when there is no such session, ErrUnreachable.
func (c *Client) Kill(ctx context.Context, id uint64) (balancer.LiveSession, error) {
	var killed balancer.LiveSession
	_, err := c.ask(ctx, http.MethodPost, fmt.Sprintf("/v1/sessions/%d/kill", id), nil, &killed)
	return killed, err
}

// ask sends a question, reads the answer into an object, and returns its headers. Errors: ErrUnreachable, *BackendError,
// *FileError.
func (c *Client) ask(ctx context.Context, method, path string, question, into any) (http.Header, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fault(response)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return nil, fmt.Errorf("%w: what answers at %s is no fairlead: %w", ErrUnreachable, c.path, err)
	}
	return response.Header, nil
}

// unreachable says what to do when nobody answers.
func (c *Client) unreachable(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: is fairlead running? There is no socket at %s; name its socket with --socket or its file with --config. "+
			"If somebody has removed the socket of one that runs, SIGUSR2 to it makes another", ErrUnreachable, c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: fairlead is not running any more: nobody listens at %s", ErrUnreachable, c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the socket %s is open to its owner and its group alone: try as another user (sudo)",
			ErrUnreachable, c.path)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.path, err)
}

// fault reads what went wrong.
func fault(response *http.Response) error {
	var f Fault
	text, err := io.ReadAll(io.LimitReader(response.Body, longestBody))
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil || f.Message == "" {
		return fmt.Errorf("control: the answer was %s: %.200q", response.Status, text)
	}
	if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusConflict {
		return &BackendError{f.Message}
	}
	if response.StatusCode == http.StatusUnprocessableEntity {
		return &FileError{f.Message}
	}
	return fmt.Errorf("control: %s", f.Message)
}
