package balancer

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// tidyEvery is how often the number of new sessions is looked at.
	tidyEvery = 2 * time.Second
	// burst is how many of them within that time leave behind memory worth giving back: set-ups need some 8 KiB each,
	// most of it stack, where a session that is set up needs less than one.
	burst = 1000
)

// tidying notices the end of a burst of logins.
type tidying struct {
	total uint64 // sessions ever, at the last tick
	due   bool
}

// tick is told the number of sessions ever, and tells whether a burst is over.
func (t *tidying) tick(total uint64) bool {
	fresh := total - t.total
	t.total = total
	switch {
	case fresh >= burst:
		t.due = true
	case t.due && fresh < burst/10:
		t.due = false
		return true
	}
	return false
}

// tidy gives memory back to the system after each burst of logins, instead of keeping it for the next one: idle sessions
// are many, and are to stay cheap.
func (b *Balancer) tidy(ctx context.Context) {
	var t tidying
	every := time.NewTicker(tidyEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			b.clear()
			if t.tick(b.ids.Load()) {
				runtime.GC() // what lies in a sync.Pool survives one collection, and FreeOSMemory is one
				debug.FreeOSMemory()
			}
		}
	}
}
