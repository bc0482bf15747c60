package probe

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSeedOrder(t *testing.T) {
	for _, c := range []struct {
		last               string
		configured, listed []string
		want               string
	}{
		{"", nil, nil, ""},
		{"", []string{"a:1", "b:1"}, nil, "a:1 b:1"},
		{"", []string{"a:1", "A:1"}, []string{"b:1", "a:1"}, "a:1 b:1"},
		{"b:1", []string{"a:1", "b:1"}, []string{"c:1", "b:1"}, "b:1 a:1 c:1"},
		{"c:1", []string{"a:1"}, []string{"d:1"}, "c:1 a:1 d:1"}, // a name, by which the cluster may not call it
		{"10.0.0.2:1", []string{"10.0.0.1:1"}, []string{"10.0.0.1:1", "10.0.0.2:1"}, "10.0.0.2:1 10.0.0.1:1"},
		{"10.0.0.1:1", []string{"10.0.0.1:1"}, []string{"10.0.0.2:1"}, "10.0.0.2:1 10.0.0.1:1"}, // it has left
		{"10.0.0.3:1", []string{"10.0.0.1:1"}, []string{"10.0.0.2:1"}, "10.0.0.1:1 10.0.0.2:1 10.0.0.3:1"},
	} {
		if got := strings.Join(seedOrder(c.last, c.configured, c.listed), " "); got != c.want {
			t.Errorf("%q, %q, %q: %q, want %q", c.last, c.configured, c.listed, got, c.want)
		}
	}
}

func TestFrontendAddress(t *testing.T) {
	for host, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:9030", "::FFFF:10.0.0.1": "10.0.0.1:9030", "2001:DB8:0::1": "[2001:db8::1]:9030", "FE1.example": "fe1.example:9030",
	} {
		if got := (Frontend{Host: host, QueryPort: 9030}).Address(); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// fe is a front end at 10.0.0.n:9030.
func fe(n byte, role string) Frontend {
	return Frontend{Host: netip.AddrFrom4([4]byte{10, 0, 0, n}).String(), QueryPort: 9030, Role: role, Alive: true}
}

// town answers in place of seeds: each as the test says, after some time.
type town struct {
	mu      sync.Mutex
	lists   map[string][]Frontend // by seed; without an entry it refuses
	takes   map[string]time.Duration
	asked   []string
	begun   []time.Duration
	present int // seeds being asked now
	opened  time.Time
}

func newTown() *town {
	return &town{lists: map[string][]Frontend{}, takes: map[string]time.Duration{}, opened: time.Now()}
}

// answers says what a seed answers from now on; without front ends it refuses.
func (w *town) answers(seed string, list ...Frontend) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(list) == 0 {
		delete(w.lists, seed)
		return
	}
	w.lists[seed] = list
}

// take says how long a seed takes for its answer.
func (w *town) take(seed string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.takes[seed] = d
}

func (w *town) read(ctx context.Context, _ Config, seed Target) ([]Frontend, error) {
	w.mu.Lock()
	list, takes := w.lists[seed.Name], w.takes[seed.Name]
	w.asked, w.begun = append(w.asked, seed.Name), append(w.begun, time.Since(w.opened))
	w.present++
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.present--
		w.mu.Unlock()
	}()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, unfit(StepGreeting, failGreetingTimeout, "nothing received")
	}
	if list == nil {
		return nil, unfit(StepConnect, failConnectRefused, "%s refuses connections", seed.Name)
	}
	return list, nil
}

// seen takes the seeds that were asked, in their order, and when.
func (w *town) seen() (string, []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, begun := strings.Join(w.asked, " "), w.begun
	w.asked, w.begun = nil, nil
	return asked, begun
}

func (w *town) inquiry(c Config) *inquiry {
	q := newInquiry(c)
	q.read = w.read
	q.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		return nil, errors.New("lookup " + host + ": no such host")
	}
	return q
}

func TestSeedsAreAskedInTurn(t *testing.T) {
	w := newTown()
	w.answers("10.0.0.3:9030", fe(3, RoleLeader), Frontend{Host: "10.0.0.4"}, fe(3, RoleLeader), fe(5, RoleObserver))
	seeds := []string{"10.0.0.1:9030", "nowhere:9030", "10.0.0.3:9030", "10.0.0.4:9030"}
	listing, err := w.inquiry(Config{Timeout: long}).ask(t.Context(), seeds, nil)
	want := []Frontend{fe(3, RoleLeader), fe(5, RoleObserver)} // without the one that has no port, and each once
	if err != nil || listing.Seed != "10.0.0.3:9030" || !slices.Equal(listing.Frontends, want) {
		t.Errorf("%+v, %v", listing, err)
	}
	if asked, _ := w.seen(); asked != "10.0.0.1:9030 10.0.0.3:9030" {
		t.Errorf("asked %s", asked)
	}
}

func TestNoSeedAnswers(t *testing.T) {
	w := newTown()
	w.answers("10.0.0.2:9030", Frontend{Host: "10.0.0.2"})
	w.answers("10.0.0.3:9030", fe(3, RoleLeader))
	shy := errors.New("balancer: too few")
	_, err := w.inquiry(Config{Timeout: long}).ask(t.Context(),
		[]string{"10.0.0.1:9030", "10.0.0.2:9030", "10.0.0.3:9030", "nowhere:9030", "10.0.0.5", "10.0.0.6:x"},
		func(Listing) error { return shy })
	want := `probe: no list of front ends: 10.0.0.1:9030: connect: 10.0.0.1:9030 refuses connections; ` +
		`10.0.0.2:9030: not a list of front ends: none of 1 rows has a MySQL port; 10.0.0.3:9030: balancer: too few; ` +
		`nowhere:9030: resolve: lookup nowhere: no such host; 10.0.0.5: resolve: "10.0.0.5" is not host:port; 10.0.0.6:x: resolve: "x" is no port`
	var all SeedErrors
	if err == nil || err.Error() != want || !errors.As(err, &all) || len(all) != 6 || !errors.Is(err, shy) || !errors.Is(err, ErrFrontends) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := all[0].Error(); got != "probe: 10.0.0.1:9030: connect: 10.0.0.1:9030 refuses connections" {
		t.Errorf("one of them: %s", got)
	}
	if _, err := w.inquiry(Config{}).ask(t.Context(), nil, nil); err == nil || err.Error() != "probe: no list of front ends: there is nobody to ask" {
		t.Errorf("without seeds: %v", err)
	}
}

// TestSilentSeedIsOvertaken: what a silent seed costs is a quarter of its time-out, and it is let go of then.
func TestSilentSeedIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.answers("10.0.0.1:9030", fe(9, RoleLeader))
		w.answers("10.0.0.2:9030", fe(2, RoleLeader))
		w.take("10.0.0.1:9030", time.Hour)
		w.take("10.0.0.2:9030", 100*time.Millisecond)
		start := time.Now()
		seeds := []string{"10.0.0.1:9030", "10.0.0.2:9030"}
		listing, err := w.inquiry(Config{Timeout: 4 * time.Second}).ask(t.Context(), seeds, nil)
		if took := time.Since(start); err != nil || listing.Seed != "10.0.0.2:9030" || took != 1100*time.Millisecond {
			t.Errorf("after %s: %+v, %v", took, listing, err)
		}
		if w.present != 0 {
			t.Errorf("%d are still being asked", w.present)
		}

		// One that is only slow may still be the first.
		w.take("10.0.0.1:9030", 1500*time.Millisecond)
		w.take("10.0.0.2:9030", time.Hour)
		if listing, err = w.inquiry(Config{Timeout: 4 * time.Second}).ask(t.Context(), seeds, nil); err != nil || listing.Seed != "10.0.0.1:9030" {
			t.Errorf("%+v, %v", listing, err)
		}

		// All silent: each has its whole time-out.
		w.take("10.0.0.1:9030", time.Hour)
		start = time.Now()
		if _, err = w.inquiry(Config{Timeout: 4 * time.Second}).ask(t.Context(), seeds, nil); err == nil || time.Since(start) != 5*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = w.inquiry(Config{Timeout: 4 * time.Second}).ask(ctx, seeds, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}
