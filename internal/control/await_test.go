package control

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairlead/balancer"
)

// TestWaiting: what somebody who waits for a drain is told, status by status.
func TestWaiting(t *testing.T) {
	drained := func(sessions int, cut uint64) balancer.BackendStatus {
		return balancer.BackendStatus{Name: "one", Order: "drain", Sessions: sessions, Cut: cut}
	}
	removed := drained(1, 0)
	removed.Removed = true
	for name, c := range map[string]struct {
		statuses [][]balancer.BackendStatus
		lines    string
		err      string
		cut      bool
	}{
		"nobody there":     {[][]balancer.BackendStatus{{drained(0, 0)}}, "fe/one: 0 sessions left after 0s\n", "", false},
		"two leave":        {[][]balancer.BackendStatus{{drained(2, 0)}, {drained(2, 0)}, {drained(0, 0)}}, "fe/one: 2 sessions left after 0s\nfe/one: 0 sessions left after 2s\n", "", false},
		"one is cut":       {[][]balancer.BackendStatus{{drained(2, 0)}, {drained(0, 1)}}, "fe/one: 2 sessions left after 0s\nfe/one: 0 sessions left after 1s\n", "fairlead: the deadline has cut 1 session of fe/one", true},
		"enabled":          {[][]balancer.BackendStatus{{drained(2, 0)}, {{Name: "one", Sessions: 2, Reason: "enable ordered by root"}}}, "fe/one: 2 sessions left after 0s\n", "fairlead: fe/one takes sessions again: enable ordered by root", false},
		"removed":          {[][]balancer.BackendStatus{{removed}, {}}, "fe/one: 1 session left after 0s\nfe/one: 0 sessions left after 1s\n", "", false},
		"removed and back": {[][]balancer.BackendStatus{{removed, drained(1, 0)}, {drained(0, 0)}}, "fe/one: 2 sessions left after 0s\nfe/one: 0 sessions left after 1s\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				w := &waiting{order: Ordered{Pool: "fe", Backend: "one"}, to: &out, started: time.Now(), shown: -1}
				for i, backends := range c.statuses {
					s := Status{Status: balancer.Status{Pools: []balancer.PoolStatus{{Name: "other", Backends: []balancer.BackendStatus{drained(9, 0)}}, {Name: "fe", Backends: backends}}}}
					over, err := w.look(s)
					if last := i == len(c.statuses)-1; over != last {
						t.Fatalf("status %d: over is %v", i, over)
					}
					var ended *DrainError
					if over && (c.err == "") != (err == nil) || err != nil && (err.Error() != c.err || !errors.As(err, &ended) || ended.Cut != c.cut) {
						t.Errorf("the error is %v, want %q", err, c.err)
					}
					time.Sleep(time.Second)
				}
				if out.String() != c.lines {
					t.Errorf("told\n%swant\n%s", out.String(), c.lines)
				}
			})
		})
	}
}

// TestAwait waits for a real drain, on a terminal and elsewhere, and for one that nobody will end.
func TestAwait(t *testing.T) {
	c, _, b := serve(t)
	o, err := c.Order(t.Context(), balancer.Drain, Instruction{Backend: "one", Deadline: "5m"})
	if err != nil || o.Deadline.IsZero() {
		t.Fatal(o, err)
	}
	var out bytes.Buffer
	if err := Await(t.Context(), c, o, &out, true); err != nil || !strings.HasPrefix(out.String(), "\rfe/one: 0 sessions left") || !strings.HasSuffix(out.String(), "\x1b[K\n") {
		t.Errorf("%v, %q", err, out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Await(ctx, c, o, &out, false); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Order(t.Context(), balancer.Enable, Instruction{Backend: "one", Deadline: "5m"}); err == nil || !strings.Contains(err.Error(), "not with enable") {
		t.Error(err)
	}
	if _, err := c.Order(t.Context(), balancer.Drain, Instruction{Backend: "one", Deadline: "soon"}); err == nil || !strings.Contains(err.Error(), `"soon"`) {
		t.Error(err)
	}
	if s := b.Status().Pools[0].Backends[0]; s.Order != "drain" || s.OrderedAt.IsZero() {
		t.Errorf("%+v", s)
	}
}
