package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes remembers each write. While it is blocked a write does not return.
type writes struct {
	sync.Mutex
	all     []string
	err     error
	blocked chan struct{}
}

func (w *writes) Write(b []byte) (int, error) {
	if w.blocked != nil {
		<-w.blocked
	}
	w.Lock()
	defer w.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.all = append(w.all, string(b))
	return len(b), nil
}

func (w *writes) wants(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	w.Lock()
	defer w.Unlock()
	if strings.Join(w.all, "|") != strings.Join(want, "|") || len(w.all) != len(want) {
		t.Errorf("written: %.1000q, want %q", w.all, want)
	}
}

func tellLost(to io.Writer, lost uint64, why error) {
	if why != nil {
		fmt.Fprintf(to, "%v: ", why)
	}
	fmt.Fprintf(to, "lost %d\n", lost)
}

func TestOutputGathersSessionLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		o := newOutput(&w, tellLost)
		defer o.Close()
		patient{o}.Write([]byte("one\n"))
		patient{o}.Write([]byte("two\n"))
		w.wants(t)
		time.Sleep(outputDelay)
		w.wants(t, "one\ntwo\n")
		time.Sleep(10 * outputDelay)
		w.wants(t, "one\ntwo\n")
		patient{o}.Write([]byte("three\n"))
		time.Sleep(outputDelay)
		w.wants(t, "one\ntwo\n", "three\n")
		many := strings.Repeat("x", outputBuffer-1) + "\n"
		patient{o}.Write([]byte(many))
		w.wants(t, "one\ntwo\n", "three\n", many)
	})
}

func TestOutputKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		o := newOutput(&w, tellLost)
		patient{o}.Write([]byte("session\n"))
		o.Write([]byte("news\n"))
		w.wants(t, "session\nnews\n")
		patient{o}.Write([]byte("last\n"))
		o.Close()
		w.wants(t, "session\nnews\n", "last\n")
		o.Write([]byte("late\n"))
		o.Close()
		w.wants(t, "session\nnews\n", "last\n")
	})
}

// TestBlockedOutputHoldsNobodyUp: while nothing can be written lines are taken at once, up to a bound, and those that
// are not about sessions find room longest. What was dropped is told.
func TestBlockedOutputHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writes{blocked: make(chan struct{})}
		o := newOutput(&w, tellLost)
		o.Write([]byte("first\n"))
		synctest.Wait() // it is being written
		line := []byte(strings.Repeat("x", 1023) + "\n")
		begun := time.Now()
		for range outputMost/len(line) + 3 {
			patient{o}.Write(line)
		}
		o.Write([]byte("backend down\n"))
		if took := time.Since(begun); took != 0 {
			t.Errorf("whoever logs has waited for %v", took)
		}
		for range outputReserve / len(line) { // one more than there is room for
			o.Write(line)
		}
		o.mu.Lock()
		if n := len(o.mu.waiting); n > outputMost+outputReserve {
			t.Errorf("%d bytes wait", n)
		}
		o.mu.Unlock()
		close(w.blocked)
		synctest.Wait()
		w.Lock()
		if len(w.all) != 3 || w.all[0] != "first\n" || !strings.Contains(w.all[1], "\nbackend down\n") || w.all[2] != "lost 4\n" {
			t.Errorf("%d writes, the last %.100q", len(w.all), w.all[len(w.all)-1])
		}
		w.Unlock()
		o.Write([]byte("after\n"))
		synctest.Wait()
		if cap(o.writing)+cap(o.mu.waiting) > 10*outputBuffer {
			t.Errorf("%d bytes are kept for nothing", cap(o.writing)+cap(o.mu.waiting))
		}
		o.Close()
	})
}

// TestOutputEnds: an end does not hang on a log that takes nothing.
func TestOutputEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writes{blocked: make(chan struct{})}
		o := newOutput(&w, tellLost)
		o.Write([]byte("one\n"))
		begun := time.Now()
		o.Close()
		if took := time.Since(begun); took != outputFarewell {
			t.Errorf("the end took %v", took)
		}
		close(w.blocked)
		<-o.done
	})
}

// TestOutputTellsWhatADiskLost: lines that could not be written are counted, and told once they can.
func TestOutputTellsWhatADiskLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := writes{err: errors.New("the disk is full")}
		o := newOutput(&w, tellLost)
		defer o.Close()
		for range 3 {
			o.Write([]byte("one\ntwo\n"))
			synctest.Wait()
		}
		w.Lock()
		w.err = nil
		w.Unlock()
		o.Write([]byte("again\n"))
		w.wants(t, "again\n", "the disk is full: lost 6\n")
		o.Write([]byte("later\n"))
		w.wants(t, "again\n", "the disk is full: lost 6\n", "later\n")
	})
}

// narrow is a disk that takes so many bytes more.
type narrow struct {
	strings.Builder
	room int
}

func (n *narrow) Write(b []byte) (int, error) {
	some := min(n.room, len(b))
	n.room -= some
	n.Builder.Write(b[:some])
	if some < len(b) {
		return some, errors.New("the disk is full")
	}
	return some, nil
}

// TestOutputKeepsLinesApart: a line that a full disk has cut short does not swallow the next one.
func TestOutputKeepsLinesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &narrow{room: 6}
		o := newOutput(disk, tellLost)
		for _, line := range []string{"one\n", "two\n", "three\n"} {
			o.Write([]byte(line))
			synctest.Wait()
		}
		disk.room = 1 << 20
		o.Write([]byte("four\n"))
		o.Close()
		if want := "one\ntw\nfour\nthe disk is full: lost 2\n"; disk.String() != want {
			t.Errorf("written: %q, want %q", disk.String(), want)
		}
	})
}

// TestOutputMoves: after a redirection lines go elsewhere, each to one place, and the old file is closed.
func TestOutputMoves(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	first, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	o := newOutput(first, tellLost)
	const lines = 2000
	var logging sync.WaitGroup
	logging.Go(func() {
		for i := range lines {
			fmt.Fprintf(o, "line %d\n", i)
		}
	})
	for i := range 20 {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		next, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		o.redirect(next)
	}
	logging.Wait()
	o.Close()
	if _, err := first.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the first file is open: %v", err)
	}
	all, err := filepath.Glob(path + "*")
	if err != nil || len(all) != 21 {
		t.Fatal(all, err)
	}
	seen := map[string]bool{}
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if seen[line] || !strings.HasPrefix(line, "line ") {
				t.Errorf("%q", line)
			}
			seen[line] = true
		}
	}
	if len(seen) != lines {
		t.Errorf("%d lines of %d", len(seen), lines)
	}
}
