package splice

import (
	"io"
	"sync/atomic"
	"testing"
	"time"
)

// counter counts what is written to it.
type counter struct{ n atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// endlessly has a server send to its client without end, and counts what arrives.
func endlessly(t *testing.T, e Engine) (*rig, *counter) {
	t.Helper()
	r, moved := connectThrough(t, e, nil), &counter{}
	go io.Copy(r.server, endless{})
	go io.Copy(moved, struct{ io.Reader }{r.client})
	eventually(t, "the bulk to flow", func() bool { return moved.n.Load() > 64<<20 })
	return r, moved
}

// A session with no end of data does not hold up another one of its loop: whoever has something to move has it moved after
// one turn of those before it, and those have another turn after that.
func TestBulkDoesNotHoldUpOthers(t *testing.T) {
	withLoop(t, Options{Pipes: 1}, func(e *loops, l *loop) {
		bulk, short := connectThrough(t, e, nil), connectThrough(t, e, nil)
		bulkSession, shortSession := bulk.task.(*session), short.task.(*session)
		l.until(t, "the joins", func() bool { return bulkSession.state == joined && shortSession.state == joined })
		much := make([]byte, 64<<20)
		release := l.hold()
		defer release()
		_ = bulk.server.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // when the kernel takes no more
		n, err := bulk.server.Write(much)
		if err == nil || n < 4*turn {
			t.Skipf("the kernel holds no more than %d KB for a loop that does not look: %v", n>>10, err)
		}
		mustWrite(t, short.client, "ping")
		looked := make(chan struct{})
		l.post(func() { // comes first in the next batch of events, so what it posts comes right after that batch
			l.post(func() {
				defer close(looked)
				if moved := bulkSession.halves[server].moved; moved < turn || moved > 2*turn+bufferSize {
					t.Errorf("%d KB were moved in two turns of %d KB", moved>>10, turn>>10)
				}
				if moved := shortSession.halves[client].moved; moved != 4 {
					t.Errorf("%d bytes were moved for the other session, want 4", moved)
				}
			})
		})
		release()
		await(t, "the loop", looked)
	})
}

// A turn is over after so many bytes, however much there is.
func TestTurnIsBounded(t *testing.T) {
	for _, o := range []struct {
		name string
		Options
	}{
		{"copying", Options{}},
		{"splicing", Options{Pipes: 1}},
	} {
		t.Run(o.name, func(t *testing.T) {
			withLoop(t, o.Options, func(e *loops, l *loop) {
				bulk, _ := endlessly(t, e)
				s := bulk.task.(*session)
				turns := 0
				l.until(t, "turns that are over before the data is", func() bool {
					h := &s.halves[server]
					before := h.moved
					h.readable, h.postponed = true, false
					l.settle(s, l.carry(s, server))
					if moved := h.moved - before; moved > turn+bufferSize {
						t.Errorf("%d KB in one turn", moved>>10)
					}
					if h.postponed {
						turns++
					}
					return turns > 10
				})
				bulk.task.Cut(Killed)
			})
		})
	}
}
