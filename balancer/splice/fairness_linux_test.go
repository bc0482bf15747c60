package splice

import (
	"io"
	"slices"
	"sync/atomic"
	"testing"
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

// A session with no end of data to move does not hold up another one of its loop. What it moves during an exchange of the
// other one says so whatever the machine's speed and load.
func TestBulkDoesNotHoldUpOthers(t *testing.T) {
	withLoop(t, Options{Pipes: 1}, func(e *loops, l *loop) {
		once := pingPong(t, connectThrough(t, e, nil))
		bulk, moved := endlessly(t, e)
		var between []int64
		for range 301 {
			before := moved.n.Load()
			once()
			between = append(between, moved.n.Load()-before)
		}
		bulk.task.Cut(Killed)
		slices.Sort(between)
		median := between[len(between)/2]
		t.Logf("median %d KB, least %d KB, most %d KB", median>>10, between[0]>>10, between[len(between)-1]>>10)
		if median > 16*turn {
			t.Errorf("a bulk session moves %d KB during an exchange of another one, want some turns of %d KB", median>>10, turn>>10)
		}
	})
}

// A turn is over after so many bytes, however much there is.
func TestTurnIsBounded(t *testing.T) {
	for _, o := range []struct {
		name string
		Options
		most uint64
	}{
		{"copying", Options{}, turn + bufferSize},
		{"splicing", Options{Pipes: 1}, turn + 1<<20},
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
					if moved := h.moved - before; moved > o.most {
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
