// Package repeats keeps a log readable while the same thing goes wrong again and again: of warnings and errors that say the
// same about the same thing, the first few are let through, and the others are counted.
//
//	handler := repeats.New(slog.NewTextHandler(os.Stderr, nil))
//	defer handler.Close()
//	log := slog.New(handler)
//
// What is the same is decided by the message and by the attributes in [Keys]; others, such as an error's text or a duration,
// may differ. At the end of each window the latest of those that were held back is logged, with the attribute more, the
// number of them.
package repeats

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// Burst is how many of a kind are let through in one window.
	Burst = 5
	// Window is how long they are counted together, from the first one on.
	Window = 10 * time.Second
	// most is how many kinds are told apart at a time; others on top count as one.
	most = 1024
)

// Change is the attribute of a line that tells of a change, and of what was before. Such a line is no repetition of an earlier
// one: something else has happened in between, which may be told at a lower level.
const Change = "was"

// Keys are the attributes that tell what a line is about.
var Keys = []string{"part", "pool", "backend", "listener", "host", "file"}

// Handler is a slog.Handler in front of another one. All is let through below slog.LevelWarn, and what tells of a [Change].
type Handler struct {
	next  slog.Handler
	about string // what With has said, of Keys
	*kinds
}

// kinds are shared by all handlers that were derived from one.
type kinds struct {
	mu struct {
		sync.Mutex
		seen   map[string]*kind
		closed bool
	}
}

// kind is one sort of line within a window.
type kind struct {
	count int
	held  int          // of those, how many were held back
	last  slog.Record  // the latest of them
	to    slog.Handler // where that belongs
	timer *time.Timer
}

// New returns a handler in front of next.
func New(next slog.Handler) *Handler {
	h := &Handler{next: next, kinds: &kinds{}}
	h.mu.seen = map[string]*kind{}
	return h
}

// Enabled is as next has it.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs and WithGroup derive handlers that count together with h.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		derived.about += word(a)
	}
	return &derived
}

// WithGroup is documented at WithAttrs.
func (h *Handler) WithGroup(name string) slog.Handler {
	derived := *h
	derived.next = h.next.WithGroup(name)
	return &derived
}

// word is what an attribute adds to a kind.
func word(a slog.Attr) string {
	if !slices.Contains(Keys, a.Key) {
		return ""
	}
	return "\x00" + a.Key + "\x00" + a.Value.String()
}

// Handle lets a record through, or counts it.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn || changes(r) || h.count(r) {
		return h.next.Handle(ctx, r)
	}
	return nil
}

// changes tells whether a record tells of a change.
func changes(r slog.Record) (found bool) {
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == Change
		return !found
	})
	return found
}

// count takes note of a record, and tells whether it may pass.
func (h *Handler) count(r slog.Record) bool {
	var about strings.Builder
	about.WriteString(h.about)
	r.Attrs(func(a slog.Attr) bool {
		about.WriteString(word(a))
		return true
	})
	name := r.Level.String() + "\x00" + r.Message + about.String()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return true
	}
	k := h.mu.seen[name]
	if k == nil && len(h.mu.seen) >= most {
		name = ""
		k = h.mu.seen[name]
	}
	if k == nil {
		k = &kind{}
		h.mu.seen[name] = k
		k.timer = time.AfterFunc(Window, func() { h.end(name, k) })
	}
	if k.count++; k.count <= Burst {
		return true
	}
	k.held++
	k.last, k.to = r.Clone(), h.next
	return false
}

// end ends a window: a new one follows while lines are being held back.
func (s *kinds) end(name string, k *kind) {
	s.mu.Lock()
	if s.mu.closed || s.mu.seen[name] != k {
		s.mu.Unlock()
		return
	}
	last, to, held := k.last, k.to, k.held
	if held == 0 {
		delete(s.mu.seen, name)
	} else {
		k.count, k.held = Burst, 0 // whoever goes on gets one line a window
		k.timer.Reset(Window)
	}
	s.mu.Unlock()
	tell(last, to, held)
}

// tell logs the latest of the lines that were held back, for all of them.
func tell(last slog.Record, to slog.Handler, held int) {
	if held == 0 {
		return
	}
	last.AddAttrs(slog.Int("more", held))
	_ = to.Handle(context.Background(), last) // nobody else could be told
}

// Close tells what is held back. Later records pass.
func (h *Handler) Close() {
	h.mu.Lock()
	seen := h.mu.seen
	h.mu.seen, h.mu.closed = nil, true
	h.mu.Unlock()
	for _, k := range seen {
		k.timer.Stop()
		tell(k.last, k.to, k.held)
	}
}
