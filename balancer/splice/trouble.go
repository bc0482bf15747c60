package splice

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// shortestPause and longestPause bound the back-off of an acceptor that fails.
	shortestPause = 10 * time.Millisecond
	longestPause  = time.Second
	// calm is how long accepting must not have failed to be well again: where descriptors are short, each session
	// that ends lets one more in, and nobody wants to read of it.
	calm = 5 * time.Second
)

func longerPause(d time.Duration) time.Duration {
	return min(max(2*d, shortestPause), longestPause)
}

// trouble tells an acceptor's owner once that accepting fails, whichever loop meets it, and once that it is over.
type trouble struct {
	tell   func(error)
	calm   time.Duration
	failed atomic.Int64 // when accepting failed last, in nanoseconds of some clock; 0 when that was told to be over
	lock   sync.Mutex   // orders the calls of tell
}

func newTrouble(o ListenOptions) *trouble {
	t := &trouble{tell: o.Trouble, calm: calm}
	if t.tell == nil {
		t.tell = func(error) {}
	}
	if o.calm > 0 {
		t.calm = o.calm
	}
	return t
}

func (t *trouble) met(err error, now int64) {
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.failed.Swap(now) != 0 {
		return
	}
	if errors.Is(err, syscall.EMFILE) {
		err = fmt.Errorf("%w (raise the limit of open files, LimitNOFILE= or ulimit -n)", err)
	}
	t.tell(err)
}

// accepted notes that a connection was accepted.
func (t *trouble) accepted(now int64) {
	failed := t.failed.Load()
	if failed == 0 || now-failed <= int64(t.calm) {
		return
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	if t.failed.CompareAndSwap(failed, 0) { // else another loop was faster, or has failed again
		t.tell(nil)
	}
}
