package e2e

import (
	"slices"
	"testing"
	"time"
)

// lateness is what the machine alone has cost: the longest login, and the longest delay of one, of a client that has gone to a
// front end directly.
func (c *vipClient) lateness() (late time.Duration) {
	slices.SortFunc(c.all, func(a, b vipAttempt) int { return a.began.Compare(b.began) })
	for i, a := range c.all {
		late = max(late, a.took)
		if i > 0 {
			late = max(late, a.began.Sub(c.all[i-1].began)-vipEvery)
		}
	}
	return late
}

// vipOutage is what a client has seen of a fault.
type vipOutage struct {
	logins, failed, slow int
	lasted               time.Duration // from the first disturbed login's beginning to that of the first one after them
	faults               []string
}

// vipJudge sums up the logins: all of them, so that one under way when the fault came is among them.
func vipJudge(all []vipAttempt, prompt time.Duration) vipOutage {
	o := vipOutage{logins: len(all)}
	var first, last, after time.Time
	for _, a := range all {
		if !a.disturbed(prompt) {
			continue
		}
		if a.fault != "" {
			o.failed++
			o.faults = append(o.faults, a.fault)
		} else {
			o.slow++
		}
		if first.IsZero() || a.began.Before(first) {
			first = a.began
		}
		if a.began.After(last) {
			last = a.began
		}
	}
	for _, a := range all {
		if a.began.After(last) && (after.IsZero() || a.began.Before(after)) {
			after = a.began
		}
	}
	if !first.IsZero() {
		o.lasted = after.Sub(first)
	}
	return o
}

// TestVIPJudge: what counts as an outage.
func TestVIPJudge(t *testing.T) {
	at := func(ms int, took time.Duration, fault string) vipAttempt {
		return vipAttempt{time.UnixMilli(int64(ms)), took, fault}
	}
	// In the order in which they ended.
	o := vipJudge([]vipAttempt{at(0, 1, ""), at(50, 1, ""), at(150, 1, "refused"), at(250, 1, ""), at(300, 1, ""), at(200, time.Second, ""), at(100, time.Minute, "reset")}, vipPrompt)
	if o.failed != 2 || o.slow != 1 || o.logins != 7 || o.lasted != 150*time.Millisecond {
		t.Errorf("got %+v", o)
	}
	if o := vipJudge([]vipAttempt{at(0, 1, ""), at(50, 1, "")}, vipPrompt); o.failed != 0 || o.slow != 0 || o.lasted != 0 {
		t.Errorf("without a fault: %+v", o)
	}
}
