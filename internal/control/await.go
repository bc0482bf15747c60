package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"fairlead/balancer"
	"fairlead/internal/terminal"
)

const (
	// lookEvery is how often a drain is looked at that somebody waits for.
	lookEvery = 250 * time.Millisecond
	// mostSilence is for how long nobody may answer meanwhile: a restart or an upgrade of fairlead takes less.
	mostSilence = 15 * time.Second
)

// DrainError tells why a drain did not come to its end by itself.
type DrainError struct {
	Message string
	// Cut tells that the deadline has cut what was left.
	Cut bool
}

// Error says what has become of the drain.
func (e *DrainError) Error() string { return "fairlead: " + e.Message }

// Await returns once the backend of an order has no sessions left, and prints how many there are: on a line that is written
// over if inPlace is set, else on a new one each time the number has changed. Errors: *DrainError when the deadline has cut
// sessions, or when the order does not stand any more; ErrUnreachable; the context's.
func Await(ctx context.Context, c *Client, o Ordered, to io.Writer, inPlace bool) error {
	w := &waiting{order: o, to: to, inPlace: inPlace, started: time.Now(), shown: -1}
	defer w.finish()
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	for silent := (time.Time{}); ; {
		s, err := c.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrUnreachable) && (silent.IsZero() || time.Since(silent) < mostSilence):
			if silent.IsZero() {
				silent = time.Now()
			}
		case err != nil:
			return err
		default:
			silent = time.Time{}
			if over, err := w.look(s); over {
				return err
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waiting is somebody who waits for a drain.
type waiting struct {
	order   Ordered
	to      io.Writer
	inPlace bool
	started time.Time
	shown   int  // sessions that the last line told of
	drawn   bool // the cursor stands on a line that is written over
}

// look tells whether the wait is over.
func (w *waiting) look(s Status) (over bool, err error) {
	left, cut := 0, uint64(0)
	for _, b := range w.backends(s) {
		if !b.Removed && b.Order == "" {
			return true, &DrainError{Message: fmt.Sprintf("%s/%s takes sessions again: %s", w.order.Pool, w.order.Backend, b.Reason)}
		}
		left, cut = left+b.Sessions+b.Former, max(cut, b.Cut)
		w.order.Deadline = b.Deadline
	}
	w.show(left)
	switch {
	case left > 0:
		return false, nil
	case cut > 0:
		return true, &DrainError{Cut: true,
			Message: fmt.Sprintf("the deadline has cut %s of %s/%s", terminal.Plural(int(cut), "session"), w.order.Pool, w.order.Backend)}
	}
	return true, nil
}

// backends are those of that name: the member, and others that have left and keep sessions.
func (w *waiting) backends(s Status) []balancer.BackendStatus {
	var all []balancer.BackendStatus
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			if p.Name == w.order.Pool && b.Name == w.order.Backend {
				all = append(all, b)
			}
		}
	}
	return all
}

func (w *waiting) show(left int) {
	if !w.inPlace && left == w.shown {
		return
	}
	w.shown = left
	line := fmt.Sprintf("%s/%s: %s left after %s", terminal.Clean(w.order.Pool), terminal.Clean(w.order.Backend),
		terminal.Plural(left, "session"), terminal.Duration(time.Since(w.started).Truncate(time.Second)))
	if !w.order.Deadline.IsZero() && left > 0 {
		line += ", cut in " + terminal.Duration(time.Until(w.order.Deadline).Truncate(time.Second))
	}
	if !w.inPlace {
		fmt.Fprintln(w.to, line)
		return
	}
	fmt.Fprint(w.to, "\r"+line+"\x1b[K") // ECMA-48, EL: the rest of the line is wiped
	w.drawn = true
}

// finish leaves the line behind.
func (w *waiting) finish() {
	if w.drawn {
		fmt.Fprintln(w.to)
	}
}
