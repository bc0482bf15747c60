package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// awaitFile waits until a file holds a text.
func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for timeout := time.After(patience); ; {
		text, err := os.ReadFile(path)
		if string(text) == want {
			return
		}
		select {
		case <-again.C:
		case <-timeout:
			t.Fatalf("%s holds %q (%v), want %q", path, text, err, want)
		}
	}
}

// TestReadinessFile: what the file says follows the backends, and is no from the first moment of an end on.
func TestReadinessFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readiness")
	fe, err := fakefe.Start(fakefe.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fe.Stop)
	file := parse(t, fe.Address(), "")
	file.Admin.ReadinessFile = path
	file.Shutdown.Grace = time.Hour
	d, err := New(file, Options{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there before the start (%v)", err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, path, "0\n")
	if err := fe.Set(fakefe.ErrorFirst); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, path, "-254\n")
	if err := fe.Restore(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, path, "0\n")
	ctx, cut := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); d.Shutdown(ctx) }()
	awaitFile(t, path, "-254\n") // within the hour of grace
	cut()
	<-over
	awaitFile(t, path, "-254\n")
}

// TestReadinessFileUnwritable: a start without its file is an error of configuration, and leaves nothing open.
func TestReadinessFileUnwritable(t *testing.T) {
	file := parse(t, "127.0.0.1:1", "")
	file.Admin.ReadinessFile = t.TempDir()
	d, err := New(file, Options{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var failed ListenErrors
	if err := d.Start(); !errors.As(err, &failed) || !strings.HasPrefix(err.Error(), file.Name+": admin.readiness_file: ") {
		t.Errorf("got %v", err)
	}
}

// switchable is a readiness that a test decides.
type switchable struct {
	sync.Mutex
	err error
}

func (s *switchable) ready() error {
	s.Lock()
	defer s.Unlock()
	return s.err
}

func (s *switchable) set(r *readiness, err error) {
	s.Lock()
	s.err = err
	s.Unlock()
	r.nudge()
}

var errNot = errors.New("not yet")

func TestReadinessSteps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readiness")
	if err := os.WriteFile(path, []byte("0 from a former life\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log logText
	s := &switchable{err: errNot}
	r := newReadiness(path, s.ready, slog.New(slog.NewTextHandler(&log, nil)))
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, path, "-254\n")
	r.follow()
	s.set(r, nil)
	awaitFile(t, path, "0\n")
	s.set(r, errNot)
	awaitFile(t, path, "-254\n")
	s.set(r, nil)
	awaitFile(t, path, "0\n")
	if err := os.WriteFile(path, []byte("5\n"), 0o600); err != nil { // somebody meddles
		t.Fatal(err)
	}
	awaitFile(t, path, "0\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, path, "0\n")
	r.leave(errors.New("shutting down"))
	if text, _ := os.ReadFile(path); string(text) != "-254\n" {
		t.Errorf("at the return of leave the file holds %q", text)
	}
	r.step()
	if text, _ := os.ReadFile(path); string(text) != "-254\n" {
		t.Errorf("after leave the file says %q again", text)
	}
	r.close(errors.New("ended"))
	r.close(errors.New("ended"))
	if n := strings.Count(log.String(), "level=INFO msg=\"ready: "); n != 2 {
		t.Errorf("ready was told %d times, want 2:\n%s", n, log.String())
	}
	if n := strings.Count(log.String(), "msg=\"not ready: "); n != 2 {
		t.Errorf("not ready was told %d times, want 2:\n%s", n, log.String())
	}
}

// TestReadinessOfOthers: one that never opened its file leaves it alone. It may belong to another fairlead.
func TestReadinessOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readiness")
	if err := os.WriteFile(path, []byte("0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReadiness(path, func() error { return errNot }, slog.New(slog.DiscardHandler))
	r.close(errors.New("ended"))
	if text, _ := os.ReadFile(path); string(text) != "0\n" {
		t.Errorf("the file holds %q", text)
	}
}

// TestNoReadinessFile: an empty path is no file.
func TestNoReadinessFile(t *testing.T) {
	r := newReadiness("", func() error { return nil }, slog.New(slog.DiscardHandler))
	if err := r.open(); err != nil {
		t.Error(err)
	}
	r.follow()
	r.nudge()
	r.close(errors.New("ended"))
}

// TestReadinessFails: a file that can't be written is told of once, and made good later.
func TestReadinessFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	path := filepath.Join(dir, "readiness")
	var log logText
	r := newReadiness(path, func() error { return nil }, slog.New(slog.NewTextHandler(&log, nil)))
	if err := r.open(); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	r.step()
	r.step()
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.step()
	awaitFile(t, path, "0\n")
}

// TestOverwriteInPlace: the file stays the same one, with its owner and mode.
func TestOverwriteInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readiness")
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{notReadyText, readyText, notReadyText} {
		if err := overwrite(path, text); err != nil {
			t.Fatal(err)
		}
		awaitFile(t, path, text)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Errorf("%v became %v", before, after)
	}
}

// TestReadinessChangesHands: in an upgrade the file says yes all the time, although one process lets go of it and another one
// takes it.
func TestReadinessChangesHands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readiness")
	says := func(want string) {
		t.Helper()
		if text, _ := os.ReadFile(path); string(text) != want {
			t.Errorf("the file says %q, want %q", text, want)
		}
	}
	log := slog.New(slog.DiscardHandler)
	s := &switchable{}
	before, after := newReadiness(path, s.ready, log), newReadiness(path, s.ready, log)
	if err := before.open(); err != nil {
		t.Fatal(err)
	}
	before.follow()
	awaitFile(t, path, "0\n")
	before.letGo()
	before.takeBack() // the other one came to nothing
	s.set(before, errNot)
	awaitFile(t, path, "-254\n")
	s.set(before, nil)
	awaitFile(t, path, "0\n")
	before.letGo()
	after.take()
	says("0\n")
	before.leave(errors.New("shutting down"))
	before.close(errors.New("ended"))
	says("0\n")
	after.follow()
	s.set(after, errNot)
	awaitFile(t, path, "-254\n")
	s.set(after, nil)
	awaitFile(t, path, "0\n")
	after.close(errors.New("ended"))
	says("-254\n")
}
