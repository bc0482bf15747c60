package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// footprint is what a process has in use, and the series that it tells.
type footprint struct {
	goroutines  int
	descriptors int
	series      []string
}

// String leaves the series out.
func (f footprint) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d series", f.goroutines, f.descriptors, len(f.series))
}

// footprint looks at a process on Linux.
func (p *process) footprint() footprint {
	p.t.Helper()
	all := p.metrics()
	f := footprint{descriptors: p.descriptors(), series: slices.Sorted(maps.Keys(all))}
	n, err := strconv.ParseFloat(all["go_goroutines"], 64)
	if err != nil {
		p.t.Fatalf("go_goroutines: %v", err)
	}
	f.goroutines = int(n)
	return f
}

// descriptors counts those of a process on Linux.
func (p *process) descriptors() int {
	p.t.Helper()
	all, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd"))
	if err != nil {
		p.t.Skip("needs /proc")
	}
	return len(all)
}

// settles waits until a process has no session, and no more in use than it had before and the spare things that it may keep.
func (p *process) settles(before, spare footprint) {
	p.t.Helper()
	var now footprint
	defer func() { p.t.Logf("before: %v; now: %v", before, now) }()
	p.poll("no more to be in use than before", func() bool {
		now = p.footprint()
		return now.goroutines <= before.goroutines+spare.goroutines && now.descriptors <= before.descriptors+spare.descriptors &&
			p.gaugesAreZero()
	})
}

// spareCoroutines are those that each event loop keeps after a burst of set-ups.
func spareCoroutines() footprint { return footprint{goroutines: 4 * runtime.NumCPU()} }

// gaugesAreZero tells whether no backend has a session.
func (p *process) gaugesAreZero() bool {
	for series, value := range p.metrics() {
		if strings.HasPrefix(series, "fairlead_backend_sessions{") && value != "0" {
			return false
		}
	}
	return true
}

// TestFlaps: a backend goes and comes a thousand times while clients come and stay. No login fails,
// also where sessions die with it, and nothing is left behind.
func TestFlaps(t *testing.T) {
	const each = 500
	fes, addresses := startFEs(t, 2)
	p := start(t, inFrontOf("slow_start = \"0s\"\n", "interval = \"10ms\"\nfast_interval = \"5ms\"\nrise = 1\nfall = 1\n", addresses...)+
		"[log]\nformat = \"json\"\nsessions = false\n")
	log := &follower{p: p, counts: make(map[string]int), taken: make(map[string]int)}
	for range addresses {
		log.next("backend up")
	}
	guests := loadOn(p, whichFE)
	guests.Idle = 0
	flap := func(fault fakefe.Fault, times int) *traffic {
		f := come(t, guests)
		f.running("1", "2")
		for range times {
			suffer(t, fes[0], fault)
			log.next("backend down")
			suffer(t, fes[0], fakefe.None)
			log.next("backend up")
		}
		f.stop()
		return f
	}
	const first = 10 // after which every series should be there
	flap(fakefe.Kill, first)
	flap(fakefe.Refuse, first)
	p.poll("all sessions to end", p.gaugesAreZero)
	before := p.footprint()

	f := flap(fakefe.Refuse, each)
	wantNoneFailed(t, f)
	if lost := f.lost(); len(lost) > 0 {
		t.Errorf("sessions were lost although their server stayed: %s", listed(lost))
	}
	wantNoneFailed(t, flap(fakefe.Kill, each))
	p.settles(before, footprint{})

	// Reasons and ends that had not come up before are no leak; their number is bounded.
	const mostReasons = 16
	after := p.footprint()
	if len(after.series) > len(before.series)+mostReasons {
		t.Errorf("%d series at the start, %d at the end: %q", len(before.series), len(after.series), after.series)
	}
	for _, series := range after.series {
		if strings.Contains(series, "127.0.0.1") {
			t.Errorf("a series has an address: %s", series)
		}
	}
}

func wantNoneFailed(t *testing.T, f *traffic) {
	t.Helper()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed although one backend was there all the time: %s", listed(failed))
	}
}

// follower counts the messages of a log as they come.
type follower struct {
	p      *process
	read   int            // how many of the process' lines have been
	rest   string         // of a line that is not whole yet
	counts map[string]int // of each message
	taken  map[string]int // of those, waited for
}

// next waits for a message that it has not waited for before.
func (l *follower) next(message string) {
	l.p.t.Helper()
	l.taken[message]++
	for timeout := time.After(patience); ; {
		changed := l.catchUp()
		if l.counts[message] >= l.taken[message] {
			return
		}
		select {
		case <-changed:
		case <-l.p.ended:
			l.p.t.Fatalf("fairlead has ended without %q", message)
		case <-timeout:
			l.p.t.Fatalf("no sign of %q, number %d", message, l.taken[message])
		}
	}
}

// catchUp reads what is new, and returns a channel that is closed when there is more.
func (l *follower) catchUp() <-chan struct{} {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	text := l.rest + strings.Join(l.p.mu.lines[l.read:], "")
	l.read, l.rest = len(l.p.mu.lines), ""
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			l.rest = line
			continue
		}
		var r record
		if json.Unmarshal([]byte(line), &r) == nil {
			l.counts[fmt.Sprint(r["msg"])]++
		}
	}
	return l.p.mu.changed
}
