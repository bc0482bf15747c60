package e2e

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger is what became of a load.
type ledger struct {
	mu struct {
		sync.Mutex
		visits   []visit
		holdings map[int]holding
	}
}

func (g *ledger) write(h happening) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if h.Visit != nil {
		g.mu.visits = append(g.mu.visits, *h.Visit)
	}
	if h.Holding != nil {
		if g.mu.holdings == nil {
			g.mu.holdings = make(map[int]holding)
		}
		g.mu.holdings[h.Holding.Number] = *h.Holding
	}
}

// visits are those so far that are wanted, in the order of their beginning.
func (g *ledger) visits(wanted func(visit) bool) []visit {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []visit
	for _, v := range g.mu.visits {
		if wanted(v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b visit) int { return a.Began.Compare(b.Began) })
	return all
}

// holdings are the sessions that are wanted, in the order of their beginning.
func (g *ledger) holdings(wanted func(holding) bool) []holding {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []holding
	for _, h := range g.mu.holdings {
		if wanted(h) {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b holding) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// traffic is a load that comes while a test goes on.
type traffic struct {
	ledger
	t      *testing.T
	load   load
	cancel context.CancelFunc
	done   chan struct{}
	err    error // valid after done
}

// come starts a load in this process. It ends with the test, or by stop.
func come(t *testing.T, l load) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &traffic{t: t, load: l, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = l.run(ctx, f.write)
	}()
	t.Cleanup(f.end)
	return f
}

func (f *traffic) end() {
	f.cancel()
	<-f.done
}

// stop has nobody come any more, and returns when the last client has gone.
func (f *traffic) stop() {
	f.t.Helper()
	f.cancel()
	select {
	case <-f.done:
	case <-time.After(2 * patience):
		f.t.Fatal("clients do not end")
	}
	if f.err != nil {
		f.t.Fatal(f.err)
	}
}

// running waits until every server has clients that come and sessions that stay.
func (f *traffic) running(servers ...string) {
	f.t.Helper()
	for _, s := range servers {
		f.served(s, time.Time{})
		if f.load.Held == 0 {
			continue
		}
		eventually(f.t, "a session on server "+s, func() bool {
			return len(f.holdings(func(h holding) bool { return h.Server == s })) > 0
		})
	}
	f.more(50, time.Now())
}

// served waits for a visit to a server by a client that came after a moment.
func (f *traffic) served(server string, since time.Time) {
	f.t.Helper()
	eventually(f.t, "a client that is led to server "+server, func() bool {
		return len(f.visits(func(v visit) bool { return v.Server == server && v.Began.After(since) })) > 0
	})
}

// more waits until n clients that came after a moment have gone again.
func (f *traffic) more(n int, since time.Time) {
	f.t.Helper()
	eventually(f.t, "more clients", func() bool {
		return len(f.visits(func(v visit) bool { return v.Began.After(since) })) >= n
	})
}

// failed are the logins that were lost.
func (g *ledger) failed() []visit {
	return g.visits(func(v visit) bool { return v.Failed != "" })
}

// lost are the sessions that ended while they were wanted.
func (g *ledger) lost() []holding {
	return g.holdings(func(h holding) bool { return h.Over && h.Error != "" })
}

// listed writes the first few of a list for a test's failure.
func listed[T fmt.Stringer](all []T) string {
	const most = 10
	var b strings.Builder
	for i, one := range all {
		if i == most {
			fmt.Fprintf(&b, "\nand %d more", len(all)-most)
			break
		}
		b.WriteString("\n" + one.String())
	}
	return b.String()
}
