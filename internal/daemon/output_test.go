package daemon

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// writes remembers each write.
type writes struct {
	sync.Mutex
	all []string
	err error
}

func (w *writes) Write(b []byte) (int, error) {
	w.Lock()
	defer w.Unlock()
	w.all = append(w.all, string(b))
	return len(b), w.err
}

func (w *writes) wants(t *testing.T, want ...string) {
	t.Helper()
	w.Lock()
	defer w.Unlock()
	if strings.Join(w.all, "|") != strings.Join(want, "|") || len(w.all) != len(want) {
		t.Errorf("written: %q, want %q", w.all, want)
	}
}

func TestOutputGathersSessionLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		o := newOutput(&w)
		defer o.Close()
		patient{o}.Write([]byte("one\n"))
		patient{o}.Write([]byte("two\n"))
		w.wants(t)
		time.Sleep(outputDelay)
		synctest.Wait()
		w.wants(t, "one\ntwo\n")
		time.Sleep(10 * outputDelay)
		synctest.Wait()
		w.wants(t, "one\ntwo\n")
		patient{o}.Write([]byte("three\n"))
		time.Sleep(outputDelay)
		synctest.Wait()
		w.wants(t, "one\ntwo\n", "three\n")
	})
}

func TestOutputKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w writes
		o := newOutput(&w)
		patient{o}.Write([]byte("session\n"))
		o.Write([]byte("news\n"))
		w.wants(t, "session\nnews\n")
		patient{o}.Write([]byte("last\n"))
		o.Close()
		w.wants(t, "session\nnews\n", "last\n")
		patient{o}.Write([]byte("late\n"))
		w.wants(t, "session\nnews\n", "last\n", "late\n")
	})
}

func TestOutputIsBounded(t *testing.T) {
	w := writes{err: errors.New("the disk is full")}
	o := newOutput(&w)
	defer o.Close()
	line := []byte(strings.Repeat("x", 1000) + "\n")
	for range 3 * outputBuffer / len(line) {
		patient{o}.Write(line)
		o.mu.Lock()
		if n := len(o.mu.waiting); n > outputBuffer+len(line) {
			t.Fatalf("%d bytes wait", n)
		}
		o.mu.Unlock()
	}
	if w.Lock(); len(w.all) < 2 {
		t.Errorf("%d writes", len(w.all))
	}
	w.Unlock()
}
