package probe

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"fairlead/metrics"
)

// search is a discovery in a bubble, whose seeds are a town.
type search struct {
	*town
	*Discovery
	log     bytes.Buffer
	metrics *metrics.Metrics

	mu      sync.Mutex
	found   []Listing
	minimum int
}

var errTooFew = errors.New("balancer: too few")

// onSearch runs a test in a bubble with a discovery of 10 s whose seeds are 10.0.0.1 and 10.0.0.2.
func onSearch(t *testing.T, test func(*testing.T, *search)) {
	synctest.Test(t, func(t *testing.T) {
		s := &search{town: newTown(), metrics: metrics.New(metrics.BuildInfo{})}
		s.Discovery = newDiscovery(DiscoveryOptions{
			Pool:    "fe",
			Config:  Config{Interval: 10 * time.Second, Timeout: 2 * time.Second, User: "monitor"},
			Seeds:   []string{"10.0.0.1:9030", "10.0.0.2:9030"},
			Found:   s.believe,
			Log:     slog.New(slog.NewTextHandler(&s.log, nil)),
			Metrics: s.metrics,
		})
		s.Discovery.inquiry = s.town.inquiry(s.Discovery.options.Config)
		test(t, s)
		s.Close()
		s.Close()
	})
}

func (s *search) believe(l Listing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.Frontends) < s.minimum {
		return errTooFew
	}
	s.found = append(s.found, l)
	return nil
}

// believed takes the lists so far: seed, and the last digit of each front end with the first of its role.
func (s *search) believed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, l := range s.found {
		words := l.Seed[7:8] + ":"
		for _, f := range l.Frontends {
			words += fmt.Sprintf("%c%.1s", f.Host[len(f.Host)-1], f.Role)
		}
		all = append(all, words)
	}
	s.found = nil
	return strings.Join(all, " ")
}

// logged takes the lines of the log, without their time.
func (s *search) logged() string {
	var lines []string
	for line := range strings.Lines(s.log.String()) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		lines = append(lines, line)
	}
	s.log.Reset()
	return strings.Join(lines, "\n")
}

func (s *search) expectLog(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := s.logged(); got != strings.Join(want, "\n") {
		t.Errorf("logged:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestDiscoveryAsksEveryInterval(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.answers("10.0.0.1:9030", fe(1, RoleLeader), fe(3, RoleObserver))
		s.start()
		<-s.First()
		if got := s.believed(); got != "1:1l3o" {
			t.Fatalf("at once: %q", got)
		}
		s.expectLog(t, `level=INFO msg="front ends found" pool=fe seed=10.0.0.1:9030 frontends="[10.0.0.1:9030 10.0.0.3:9030]"`)
		s.take("10.0.0.1:9030", 100*time.Millisecond) // counts as a part of the interval
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		_, begun := s.seen()
		shortest, longest := begun[1]-begun[0], begun[1]-begun[0]
		for i := range begun[1:] {
			shortest, longest = min(shortest, begun[i+1]-begun[i]), max(longest, begun[i+1]-begun[i])
		}
		if len(begun) < 60 || shortest < 9*time.Second || longest > 10*time.Second || longest-shortest < time.Second/2 {
			t.Errorf("asked %d times, after %s to %s", len(begun), shortest, longest)
		}
		s.expectLog(t) // nothing has changed
	})
}

func TestDiscoveryFollowsTheCluster(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.answers("10.0.0.1:9030", fe(1, RoleLeader), fe(3, RoleFollower))
		s.start()
		<-s.First()
		s.believed()
		s.logged()
		s.answers("10.0.0.1:9030", fe(1, RoleFollower), fe(4, RoleLeader))
		time.Sleep(11 * time.Second)
		if got := s.believed(); got != "1:1f4l" {
			t.Errorf("within an interval: %q", got)
		}
		s.expectLog(t, `level=INFO msg="front ends have changed" pool=fe seed=10.0.0.1:9030 joined=[10.0.0.4:9030] left=[10.0.0.3:9030]`)
	})
}

// TestListSurvivesItsSeeds: with all configured seeds gone, those of the last good list are asked, and with these gone too
// nothing changes.
func TestListSurvivesItsSeeds(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.answers("10.0.0.2:9030", fe(1, RoleLeader), fe(2, RoleFollower), fe(3, RoleObserver))
		s.answers("10.0.0.3:9030", fe(3, RoleLeader), fe(4, RoleFollower))
		s.start()
		<-s.First()
		if asked, _ := s.seen(); asked != "10.0.0.1:9030 10.0.0.2:9030" {
			t.Errorf("asked %s", asked)
		}
		s.answers("10.0.0.2:9030")
		time.Sleep(11 * time.Second)
		if asked, _ := s.seen(); asked != "10.0.0.2:9030 10.0.0.1:9030 10.0.0.3:9030" {
			t.Errorf("asked %s", asked)
		}
		s.answers("10.0.0.3:9030")
		time.Sleep(11 * time.Second)
		if got := s.believed(); got != "2:1l2f3o 3:3l4f" {
			t.Errorf("lists: %q", got)
		}
		s.seen()
		s.logged()
		s.answers("10.0.0.4:9030", fe(4, RoleLeader))
		time.Sleep(11 * time.Second)
		if got := s.believed(); !strings.HasPrefix(got, "4:4l") {
			t.Errorf("the last member is not asked: %q", got)
		}
		synctest.Wait()
		if got := s.logged(); !strings.HasPrefix(got, `level=INFO msg="front ends are listed again" pool=fe seed=10.0.0.4:9030`) {
			t.Errorf("logged:\n%s", got)
		}
	})
}

func TestDiscoveryAsksAgainSoonAfterFailure(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.start()
		<-s.First()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		s.expectLog(t, `level=WARN msg="no list of front ends: keeping what is known" pool=fe known=0 `+
			`reason="10.0.0.1:9030: connect: 10.0.0.1:9030 refuses connections; 10.0.0.2:9030: connect: 10.0.0.2:9030 refuses connections"`)
		asked, begun := s.seen()
		if !strings.HasPrefix(asked, "10.0.0.1:9030 10.0.0.2:9030 10.0.0.1:9030") {
			t.Errorf("asked %s", asked)
		}
		for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
			if pause := begun[2*i+2] - begun[2*i]; !within(pause, want*9/10, want*11/10) {
				t.Errorf("failure %d: asked again after %s", i+1, pause)
			}
		}

		// Another trouble is told; an answer ends it, and the next trouble is met with haste again.
		s.answers("10.0.0.2:9030", Frontend{Host: "10.0.0.2"})
		time.Sleep(12 * time.Second)
		synctest.Wait()
		if got := s.logged(); strings.Count(got, "\n") != 0 || !strings.Contains(got, "none of 1 rows has a MySQL port") {
			t.Errorf("logged:\n%s", got)
		}
		s.answers("10.0.0.2:9030", fe(2, RoleLeader))
		time.Sleep(12 * time.Second)
		s.answers("10.0.0.2:9030")
		s.believed()
		s.seen()
		for asked := ""; asked == ""; asked, _ = s.seen() {
			time.Sleep(10 * time.Millisecond)
		}
		s.answers("10.0.0.2:9030", fe(2, RoleLeader))
		time.Sleep(1100 * time.Millisecond)
		if got := s.believed(); !strings.HasSuffix(got, "2:2l") {
			t.Errorf("after a short trouble: %q", got)
		}
	})
}

func TestDiscoveryTellsHowItGoes(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		if h := s.Health(); h != (DiscoveryHealth{Pool: "fe"}) {
			t.Errorf("before it began: %+v", h)
		}
		s.answers("10.0.0.2:9030", fe(1, RoleLeader), fe(2, RoleFollower))
		s.start()
		<-s.First()
		answered := time.Now()
		if h := s.Health(); h != (DiscoveryHealth{Pool: "fe", Members: 2, Seed: "10.0.0.2:9030", Answered: answered}) {
			t.Errorf("after an answer: %+v", h)
		}
		s.answers("10.0.0.2:9030")
		time.Sleep(time.Minute)
		synctest.Wait()
		h := s.Health()
		if h.Members != 2 || !within(time.Since(h.Answered), 40*time.Second, time.Minute) || !within(time.Since(h.Failing), 40*time.Second, 55*time.Second) ||
			h.Failures < 3 || !strings.Contains(h.Error, "10.0.0.1:9030 refuses connections") {
			t.Errorf("in trouble: %+v", h)
		}
		s.answers("10.0.0.1:9030", fe(1, RoleLeader))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if h := s.Health(); h.Error != "" || !h.Failing.IsZero() || h.Failures != 0 || h.Members != 1 || h.Seed != "10.0.0.1:9030" {
			t.Errorf("well again: %+v", h)
		}
	})
}

// TestUnbelievableListIsAskedElsewhere: an FE that was thrown out of its cluster may list itself alone.
func TestUnbelievableListIsAskedElsewhere(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.minimum = 2
		s.answers("10.0.0.1:9030", fe(1, RoleLeader))
		s.answers("10.0.0.2:9030", fe(2, RoleLeader), fe(3, RoleFollower))
		s.start()
		<-s.First()
		if got := s.believed(); got != "2:2l3f" {
			t.Errorf("believed %q", got)
		}
		s.logged()
		s.answers("10.0.0.2:9030", fe(2, RoleLeader))
		time.Sleep(10 * time.Minute)
		if got := s.believed(); got != "" {
			t.Errorf("believed %q", got)
		}
		synctest.Wait()
		if got := s.logged(); strings.Count(got, "\n") != 0 || !strings.Contains(got, "known=2") || !strings.Contains(got, "10.0.0.2:9030: balancer: too few") {
			t.Errorf("logged:\n%s", got)
		}
		if n := testutil.CollectAndCount(s.metrics.Registry(), "fairlead_discovery_members"); n != 1 {
			t.Errorf("%d gauges", n)
		}
		page, err := s.metrics.Registry().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range page {
			switch family.GetName() {
			case "fairlead_discovery_members":
				if got := family.GetMetric()[0].GetGauge().GetValue(); got != 2 {
					t.Errorf("%v members", got)
				}
			case "fairlead_discoveries_total": // failure, rejected, success
				if c := family.GetMetric(); c[0].GetCounter().GetValue() != 0 || c[1].GetCounter().GetValue() < 60 || c[2].GetCounter().GetValue() != 1 {
					t.Errorf("counted %v", c)
				}
			}
		}
	})
}

func TestDiscoveryEndsAtOnce(t *testing.T) {
	onSearch(t, func(t *testing.T, s *search) {
		s.take("10.0.0.1:9030", time.Hour)
		s.take("10.0.0.2:9030", time.Hour)
		s.start()
		time.Sleep(time.Second)
		start := time.Now()
		s.Close()
		if took := time.Since(start); took != 0 || s.present != 0 {
			t.Errorf("the end took %s, %d are still being asked", took, s.present)
		}
		s.expectLog(t)
	})
}
