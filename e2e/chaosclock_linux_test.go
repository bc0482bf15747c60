package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"fairlead/internal/control"
)

// The chaos has the system's clock jump without touching that of the machine: its fairlead is built with a package time whose Now
// adds so many seconds to the time of day as a file says that all its processes map. Its monotonic reading is left alone, as
// it is when a clock is set.

const (
	// clockVariable names that file to fairlead; without it the clock is right.
	clockVariable = "FAIRLEAD_E2E_CLOCK"
	// clockSize is the file's, in bytes: a number in the machine's own order.
	clockSize = 8
	// nowHead is how time.Now begins, in all versions of Go since 1.25.
	nowHead = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	// wrongClock goes beside time.go.
	wrongClock = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// wrong is by how many seconds the time of day is wrong.
var wrong = func() *int64 {
	path, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return new(int64)
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("time: " + path + ": " + err.Error())
	}
	defer syscall.Close(fd)
	b, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("time: map " + path + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&b[0]))
}()

func wrongBy() int64 { return atomic.LoadInt64(wrong) }
`
)

// buildWithWrongClock builds fairlead so that its clock can be made to jump, and returns the program's path.
func buildWithWrongClock(t *testing.T) string {
	t.Helper()
	if os.Getenv(builtBinary) != "" {
		return binary
	}
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), nowHead); n != 1 {
		t.Fatalf("time.Now of %s does not begin as this test knows it (%d times): see %s, and change nowHead", runtime.Version(), n, source)
	}
	written := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		source: written("time.go", strings.Replace(string(text), nowHead, nowHead+"\tsec += wrongBy()\n", 1)),
		filepath.Join(filepath.Dir(source), "wrongclock.go"): written("wrongclock.go", wrongClock),
	}})
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "fairlead")
	if err := build(program, "-overlay", written("overlay.json", string(overlay))); err != nil {
		t.Fatal(err)
	}
	return program
}

// wrongness is by how much fairlead's clock is wrong.
type wrongness struct {
	path    string
	seconds *atomic.Int64 // mapped
}

func newWrongness(t *testing.T, dir string) wrongness {
	t.Helper()
	path := filepath.Join(dir, "clock")
	if err := os.WriteFile(path, make([]byte, clockSize), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, clockSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return wrongness{path: path, seconds: (*atomic.Int64)(unsafe.Pointer(&b[0]))}
}

// jumps are how wrong the clock may be; from one of farJumps to another one it is an hour at least.
var jumps, farJumps = func() (all, far []time.Duration) {
	const day = 24 * time.Hour
	for _, d := range []time.Duration{0, time.Hour, 3 * time.Hour, 2 * day, 90 * day, 20 * 365 * day} {
		far = append(far, d, -d)
	}
	return append(far, -30*time.Second, -3*time.Second, 3*time.Second, 30*time.Second), far
}()

func (w wrongness) set(by time.Duration) { w.seconds.Store(int64(by / time.Second)) }

// now is the time of day as fairlead believes it to be.
func (w wrongness) now() time.Time {
	return time.Now().Add(time.Duration(w.seconds.Load()) * time.Second)
}

// jump has the clock jump somewhere.
func (w wrongness) jump(random *rand.Rand) { w.set(jumps[random.IntN(len(jumps))]) }

// jumping has it jump far, again and again, until stop.
func (w wrongness) jumping(random *rand.Rand) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				w.set(farJumps[random.IntN(len(farJumps))])
			case <-ended:
				return
			}
		}
	}()
	return func() { close(ended); <-done }
}

// isObeyed wants fairlead to believe in a wrong time: all jumps were for nothing else.
func (c *chaos) isObeyed() {
	c.t.Helper()
	ctx, cancel := c.patiently()
	defer cancel()
	s, err := c.control.Status(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if ahead := time.Until(s.Started); ahead < firstJump/2 {
		c.t.Fatalf("fairlead's clock is %v ahead, and should be %v: the program %s has no clock that can be made to jump", ahead, firstJump, c.program)
	}
}

// firstJump is how wrong the clock is at first.
const firstJump = 24 * time.Hour

// clockJumps is one jump or some.
func clockJumps(c *chaos, q cue) error {
	random := rand.New(rand.NewPCG(q.pick, 0))
	for range 1 + random.IntN(3) {
		c.clock.jump(random)
		<-time.After(time.Duration(random.Int64N(int64(50 * time.Millisecond))))
	}
	return nil
}

// agesHold wants nothing to be older than fairlead is, and nothing to come from the future, whatever its clock has done: neither in
// the status, as people see it who compare with the clock, nor in the list of sessions, nor in the log.
func (c *chaos) agesHold() error {
	ctx, cancel := c.patiently()
	defer cancel()
	s, err := c.control.Status(ctx)
	if err != nil {
		return err
	}
	sessions, _, err := c.control.Sessions(ctx, control.SessionsQuery{})
	if err != nil {
		return err
	}
	now, most := c.clock.now(), time.Since(c.began)
	const slack = time.Second // two clocks of one machine are not read at the same moment
	check := func(what string, ages ...time.Duration) error {
		for _, age := range ages {
			if age < -slack || age > most+slack {
				return fmt.Errorf("%s: %v ago, where nothing is older than %v", what, age, most)
			}
		}
		return nil
	}
	errs := []error{check("fairlead's start", now.Sub(s.Started))}
	for _, b := range s.Pools[0].Backends {
		errs = append(errs, check("since when backend "+b.Name+" is "+b.State.String(), now.Sub(b.Since)),
			check("the latest probe of backend "+b.Name, now.Sub(b.Probed)))
	}
	for _, one := range sessions {
		errs = append(errs, check(fmt.Sprintf("session %d", one.ID), one.Age, one.Idle, now.Sub(one.Started)))
	}
	for line := range strings.Lines(c.log()) {
		var r struct {
			Message                     string `json:"msg"`
			Connect, Greeting, Duration time.Duration
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.Message == "session" {
			errs = append(errs, check("in the log: "+line, r.Connect, r.Greeting, r.Duration))
		}
	}
	return errors.Join(errs...)
}
