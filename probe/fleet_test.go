package probe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"fairlead/metrics"
)

var quiet = slog.New(slog.DiscardHandler)

// stage is a fleet in a synctest bubble, with a backend whose probes end as the test says.
type stage struct {
	*Fleet[string]
	metrics *metrics.Metrics

	mu      sync.Mutex
	result  Result
	takes   time.Duration
	begun   []time.Duration // since the stage was set up
	reports []Report
	configs []Config
	start   time.Time
}

func newStage(log *slog.Logger) *stage {
	s := &stage{metrics: metrics.New(metrics.BuildInfo{}), result: Result{Verdict: Fit}, start: time.Now()}
	s.Fleet = NewFleet(log, s.metrics, func(_ string, r Report) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reports = append(s.reports, r)
	})
	s.once = func(ctx context.Context, c Config, _ Target) Result {
		s.mu.Lock()
		result, takes := s.result, s.takes
		result.At = time.Now()
		s.begun = append(s.begun, time.Since(s.start))
		s.configs = append(s.configs, c)
		s.mu.Unlock()
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return Result{Failure: failCanceled}
		}
		return result
	}
	return s
}

// finds says how the probes from now on end.
func (s *stage) finds(v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result = Result{Verdict: v}
	if v == Unfit {
		s.result.Failure = failConnectRefused
	}
}

// take says how long the probes from now on take.
func (s *stage) take(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes = d
}

// verdicts takes the reports so far.
func (s *stage) verdicts() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var letters strings.Builder
	for _, r := range s.reports {
		letters.WriteString(r.Verdict.String()[:1])
	}
	s.reports = nil
	return letters.String()
}

// pauses takes the times between the beginnings of probes so far.
func (s *stage) pauses() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pauses []time.Duration
	for i := 1; i < len(s.begun); i++ {
		pauses = append(pauses, s.begun[i]-s.begun[i-1])
	}
	s.begun = s.begun[max(0, len(s.begun)-1):]
	return pauses
}

var fe1 = Target{Pool: "fe", Name: "fe1"}

// onStage runs a test in a bubble, where time passes only when all wait for it.
func onStage(t *testing.T, test func(*testing.T, *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(quiet)
		test(t, s)
		s.Close()
	})
}

func within(d, low, high time.Duration) bool { return low <= d && d <= high }

func TestFirstProbeIsMadeAtOnceAndThenEveryInterval(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: 10 * time.Second})
		synctest.Wait()
		if got := s.verdicts(); got != "f" {
			t.Fatalf("at once: %q", got)
		}
		s.take(time.Second) // counts as a part of the interval
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		pauses := s.pauses()
		for _, pause := range pauses {
			if !within(pause, 9*time.Second, 11*time.Second) {
				t.Errorf("a pause of %s", pause)
			}
		}
		slices.Sort(pauses)
		if n := len(pauses); n < 50 || pauses[n-1]-pauses[0] < time.Second/2 {
			t.Errorf("%d probes, pauses from %s to %s", n, pauses[0], pauses[n-1])
		}
	})
}

func TestProbesHurryBetweenVerdicts(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: 10 * time.Second, FastInterval: time.Second, Rise: 3, Fall: 3})
		synctest.Wait()
		s.finds(Unfit)
		time.Sleep(14 * time.Second)
		if got := s.verdicts(); got != "fffu" {
			t.Errorf("falling: %q", got)
		}
		if p := s.pauses(); len(p) != 3 || !within(p[0], 9*time.Second, 11*time.Second) ||
			!within(p[1], 900*time.Millisecond, 1100*time.Millisecond) || !within(p[2], 900*time.Millisecond, 1100*time.Millisecond) {
			t.Errorf("falling: %s", p)
		}
		s.finds(Fit)
		time.Sleep(12 * time.Second)
		if got := s.verdicts(); got != "uuf" {
			t.Errorf("rising: %q", got)
		}
		s.finds(Leaving)
		time.Sleep(11 * time.Second)
		if got := s.verdicts(); got != "l" {
			t.Errorf("leaving: %q", got)
		}
	})
}

func TestSlowProbesFollowEachOtherAtOnce(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.take(30 * time.Second)
		s.Watch("fe1", fe1, Config{Interval: 10 * time.Second})
		time.Sleep(100 * time.Second)
		if p := s.pauses(); len(p) != 3 || p[0] != 30*time.Second {
			t.Errorf("%s", p)
		}
	})
}

func TestSuspicion(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: time.Minute, FastInterval: time.Second, Rise: 2, Fall: 2})
		synctest.Wait()
		if got := s.verdicts(); got != "f" {
			t.Fatal(got)
		}
		time.Sleep(5 * time.Second)
		for range 1000 { // live traffic does not wait for the first answer
			s.Suspect("fe1")
		}
		synctest.Wait()
		if len(s.pauses()) != 1 {
			t.Error("not probed at once")
		}
		time.Sleep(3 * time.Second)
		// Undecided until two probes went well; the first one may have begun before the last suspicion.
		if got := s.verdicts(); got != "uf" && got != "uuf" {
			t.Errorf("false: %q", got)
		}
		s.finds(Unfit)
		s.Suspect("fe1")
		synctest.Wait()
		if r := s.last(); r.Verdict != Unfit {
			t.Errorf("true: %+v", r)
		}
		s.Suspect("fe1") // of an unfit one: no news
		s.Suspect("nobody")
		s.pauses()
		time.Sleep(30 * time.Second)
		if p := s.pauses(); len(p) != 0 {
			t.Errorf("probed again after %s", p)
		}
	})
}

func (s *stage) last() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.reports[len(s.reports)-1]
	s.reports = nil
	return r
}

// A probe that began before live traffic saw a failure can't clear the backend, and the next one follows at once.
func TestStaleProbeDoesNotClear(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: time.Minute, FastInterval: time.Second, Rise: 1, Fall: 2})
		synctest.Wait()
		s.take(100 * time.Millisecond)
		s.Suspect("fe1")
		time.Sleep(50 * time.Millisecond) // under way
		s.Suspect("fe1")
		time.Sleep(60 * time.Millisecond)
		synctest.Wait()
		if got := s.verdicts(); got != "fu" {
			t.Errorf("the stale probe: %q", got)
		}
		time.Sleep(1200 * time.Millisecond)
		if got := s.verdicts(); got != "f" {
			t.Errorf("the next one: %q", got)
		}
	})
}

func TestWatchAgainKeepsTheVerdict(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: time.Minute, Rise: 5})
		synctest.Wait()
		s.finds(Unfit)
		s.Watch("fe1", Target{Pool: "fe", Name: "fe1", Host: "other"}, Config{Interval: time.Hour, Fall: 2, FastInterval: time.Hour})
		synctest.Wait()
		if got := s.verdicts(); got != "ff" { // one failure of two
			t.Errorf("%q", got)
		}
		if c := s.configs[len(s.configs)-1]; c.Interval != time.Hour || c.Rise != DefaultRise {
			t.Errorf("probed with %+v", c)
		}
	})
}

func TestForgetAndCloseCutOffProbes(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.take(time.Hour)
		for i := range 10 {
			s.Watch(fmt.Sprint(i), fe1, Config{})
		}
		time.Sleep(time.Second)
		before := time.Now()
		s.Forget("3")
		s.Forget("3")
		s.Forget("nobody")
		s.Close()
		s.Close()
		if took := time.Since(before); took != 0 {
			t.Errorf("waited for %s", took)
		}
		s.Watch("late", fe1, Config{})
		s.Suspect("late")
		s.Forget("late")
		time.Sleep(2 * time.Hour)
		if got := s.verdicts(); got != "" {
			t.Errorf("reported after the end: %q", got)
		}
	})
}

// The first probes of a large fleet are spread; those of a small one are not.
func TestFirstProbesOfManySpread(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		for i := range 500 {
			s.Watch(fmt.Sprint(i), fe1, Config{Interval: time.Hour})
		}
		synctest.Wait()
		if n := len(s.verdicts()); n > 50 {
			t.Errorf("%d at once", n)
		}
		time.Sleep(time.Second)
		if n := len(s.verdicts()); n < 450 {
			t.Errorf("%d more within a second", n)
		}
	})
}

func TestProbesAreCounted(t *testing.T) {
	onStage(t, func(t *testing.T, s *stage) {
		s.Watch("fe1", fe1, Config{Interval: time.Second, FastInterval: time.Second})
		synctest.Wait()
		s.finds(Unfit)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		want := `
			# HELP fairlead_probe_failures_total Health probes that found a backend unfit or leaving, by reason.
			# TYPE fairlead_probe_failures_total counter
			fairlead_probe_failures_total{backend="fe1",pool="fe",reason="connect_refused"} 1
		`
		if err := testutil.GatherAndCompare(s.metrics.Registry(), strings.NewReader(want), "fairlead_probe_failures_total"); err != nil {
			t.Error(err)
		}
		// A backend that was removed from the metrics is not brought back by its last probes.
		s.metrics.RemoveBackend("fe", "fe1")
		time.Sleep(10 * time.Second)
		if n, err := testutil.GatherAndCount(s.metrics.Registry(), "fairlead_probe_failures_total", "fairlead_probe_seconds"); err != nil || n != 0 {
			t.Errorf("%d series, %v", n, err)
		}
	})
}

// TestOwnTroubleIsLoggedOnce: once until a probe has succeeded again.
func TestOwnTroubleIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStage(slog.New(slog.NewTextHandler(&log, nil)))
		short := Result{Failure: failLocal, Reason: "login: this machine's own trouble: too many open files"}
		s.Watch("fe1", fe1, Config{})
		for _, result := range []Result{short, {Verdict: Fit}, short} {
			s.mu.Lock()
			s.result = result
			s.mu.Unlock()
			time.Sleep(time.Minute)
		}
		s.Close()
		if text := log.String(); strings.Count(text, "can't probe") != 2 || strings.Contains(text, "configuration") || !strings.Contains(text, "too many open files") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

func TestConfigurationErrorIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newStage(slog.New(slog.NewTextHandler(&log, nil)))
		s.result.ConfigError = "http: 401 Unauthorized"
		s.Watch("fe1", fe1, Config{})
		time.Sleep(time.Minute)
		s.Close()
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") ||
			!strings.Contains(text, `problem="http: 401 Unauthorized"`) || !strings.Contains(text, "backend=fe1") {
			t.Errorf("logged:\n%s", text)
		}
		if r := s.last(); r.Result.ConfigError == "" {
			t.Errorf("reported without it: %+v", r)
		}
	})
}
