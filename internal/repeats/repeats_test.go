package repeats

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// written is a log that a test reads, without times.
type written struct {
	sync.Mutex
	text strings.Builder
}

func (w *written) Write(b []byte) (int, error) {
	w.Lock()
	defer w.Unlock()
	return w.text.Write(b)
}

// lines takes the lines so far.
func (w *written) lines() []string {
	synctest.Wait()
	w.Lock()
	defer w.Unlock()
	all := strings.Split(strings.TrimSpace(w.text.String()), "\n")
	w.text.Reset()
	if all[0] == "" {
		return nil
	}
	return all
}

func logTo(t *testing.T, test func(log *slog.Logger, h *Handler, w *written)) {
	synctest.Test(t, func(t *testing.T) {
		var w written
		h := New(slog.NewTextHandler(&w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		test(slog.New(h), h, &w)
		h.Close()
	})
}

func TestRepeatsAreCounted(t *testing.T) {
	logTo(t, func(log *slog.Logger, _ *Handler, w *written) {
		pool := log.With("pool", "fe")
		for i := range 100 {
			pool.Warn("backend down", "backend", "one", "reason", fmt.Sprint("r", i))
		}
		pool.Warn("backend down", "backend", "two", "reason", "r") // is about another thing
		log.Warn("backend down", "backend", "one", "reason", "r")  // of another pool
		if got := w.lines(); len(got) != Burst+2 || got[Burst-1] != `level=WARN msg="backend down" pool=fe backend=one reason=r4` {
			t.Errorf("%d lines: %q", len(got), got)
		}
		time.Sleep(Window)
		if got := w.lines(); len(got) != 1 || got[0] != `level=WARN msg="backend down" pool=fe backend=one reason=r99 more=95` {
			t.Errorf("at the end of the window: %q", got)
		}
		// What goes on and on is one line a window.
		for i := range 30 {
			time.Sleep(time.Second)
			pool.Warn("backend down", "backend", "one", "reason", fmt.Sprint("s", i))
		}
		if got := w.lines(); len(got) < 2 || len(got) > 3 {
			t.Errorf("in three windows: %q", got)
		}
		// A quiet window forgets.
		time.Sleep(3 * Window)
		w.lines()
		pool.Warn("backend down", "backend", "one", "reason", "new")
		if got := w.lines(); len(got) != 1 || !strings.HasSuffix(got[0], "reason=new") {
			t.Errorf("after a pause: %q", got)
		}
	})
}

func TestOtherLinesPass(t *testing.T) {
	logTo(t, func(log *slog.Logger, _ *Handler, w *written) {
		for range 3 * Burst {
			log.Info("session", "backend", "one")
			log.WithGroup("g").Info("session", "backend", "one")
		}
		if got := w.lines(); len(got) != 6*Burst {
			t.Errorf("%d lines", len(got))
		}
	})
}

func (s *kinds) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.seen)
}

// TestKindsAreBounded: whoever makes up new things to complain about grows nothing.
func TestKindsAreBounded(t *testing.T) {
	logTo(t, func(log *slog.Logger, h *Handler, w *written) {
		for i := range 3 * most {
			log.Error("lost", "backend", fmt.Sprint("b", i))
		}
		if n := h.size(); n > most+1 {
			t.Errorf("%d kinds are remembered", n)
		}
		if got := w.lines(); len(got) != most+Burst {
			t.Errorf("%d lines", len(got))
		}
		time.Sleep(2 * Window)
		if got := w.lines(); len(got) != 1 || !strings.HasSuffix(got[0], fmt.Sprintf("backend=b%d more=%d", 3*most-1, 2*most-Burst)) {
			t.Errorf("told %q", got)
		}
		if n := h.size(); n != 0 {
			t.Errorf("%d kinds are remembered for nothing", n)
		}
	})
}

func TestCloseTells(t *testing.T) {
	logTo(t, func(log *slog.Logger, h *Handler, w *written) {
		for range Burst + 2 {
			log.Error("no room")
		}
		w.lines()
		h.Close()
		if got := w.lines(); len(got) != 1 || got[0] != `level=ERROR msg="no room" more=2` {
			t.Errorf("%q", got)
		}
		for range 2 * Burst {
			log.Error("no room")
		}
		if got := w.lines(); len(got) != 2*Burst {
			t.Errorf("after the end: %d lines", len(got))
		}
	})
}

func TestChangesAreAllTold(t *testing.T) {
	logTo(t, func(log *slog.Logger, _ *Handler, w *written) {
		const times = 10 * Burst
		for range times {
			log.Warn("backend down", "backend", "one", Change, "up")
			log.Info("backend up", "backend", "one", Change, "down")
		}
		if got := w.lines(); len(got) != 2*times {
			t.Errorf("%d lines of %d changes", len(got), 2*times)
		}
	})
}
