package balancer

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
)

func (v Verdict) String() string { return [...]string{"undecided", "fit", "unfit", "leaving"}[v] }

var (
	verdicts = []Verdict{Undecided, Fit, Unfit, Leaving}
	orders   = []Order{Enable, Drain, Disable}
)

// conditions are all that there are.
func conditions() []condition {
	var all []condition
	for _, v := range verdicts {
		for _, o := range orders {
			all = append(all, condition{v, o, false}, condition{v, o, true})
		}
	}
	return all
}

func TestState(t *testing.T) {
	want := map[condition]State{
		{Undecided, Enable, false}: Unknown, {Undecided, Enable, true}: Down,
		{Fit, Enable, false}: Up, {Fit, Enable, true}: Down,
		{Unfit, Enable, false}: Down, {Unfit, Enable, true}: Down,
		{Leaving, Enable, false}: Draining, {Leaving, Enable, true}: Down,

		{Undecided, Drain, false}: Draining, {Undecided, Drain, true}: Down,
		{Fit, Drain, false}: Draining, {Fit, Drain, true}: Down,
		{Unfit, Drain, false}: Down, {Unfit, Drain, true}: Down,
		{Leaving, Drain, false}: Draining, {Leaving, Drain, true}: Down,

		{Undecided, Disable, false}: Disabled, {Undecided, Disable, true}: Disabled,
		{Fit, Disable, false}: Disabled, {Fit, Disable, true}: Disabled,
		{Unfit, Disable, false}: Disabled, {Unfit, Disable, true}: Disabled,
		{Leaving, Disable, false}: Disabled, {Leaving, Disable, true}: Disabled,
	}
	for _, c := range conditions() {
		state, listed := want[c]
		if !listed {
			t.Errorf("%+v is not in the table", c)
		}
		if got := c.state(); got != state {
			t.Errorf("%+v is %v, want %v", c, got, state)
		}
	}
}

// TestEvents says for every condition and event which condition follows; an order stays what it is but by an order.
func TestEvents(t *testing.T) {
	type evidence struct {
		verdict Verdict
		suspect bool
	}
	clear := func(v Verdict) evidence { return evidence{v, false} }
	suspected := func(v Verdict) evidence { return evidence{v, true} }
	for _, test := range []struct {
		was   evidence
		event string
		want  evidence
	}{
		{clear(Undecided), "fit", clear(Fit)}, {clear(Undecided), "unfit", clear(Unfit)},
		{clear(Undecided), "leaving", clear(Leaving)}, {clear(Undecided), "undecided", clear(Undecided)},
		{clear(Fit), "fit", clear(Fit)}, {clear(Fit), "unfit", clear(Unfit)},
		{clear(Fit), "leaving", clear(Leaving)}, {clear(Fit), "undecided", clear(Fit)},
		{clear(Unfit), "fit", clear(Fit)}, {clear(Unfit), "unfit", clear(Unfit)},
		{clear(Unfit), "leaving", clear(Leaving)}, {clear(Unfit), "undecided", clear(Unfit)},
		{clear(Leaving), "fit", clear(Fit)}, {clear(Leaving), "unfit", clear(Unfit)},
		{clear(Leaving), "leaving", clear(Leaving)}, {clear(Leaving), "undecided", clear(Leaving)},

		{suspected(Undecided), "fit", clear(Fit)}, {suspected(Undecided), "unfit", clear(Unfit)},
		{suspected(Undecided), "leaving", clear(Leaving)}, {suspected(Undecided), "undecided", suspected(Undecided)},
		{suspected(Fit), "fit", clear(Fit)}, {suspected(Fit), "unfit", clear(Unfit)},
		{suspected(Fit), "leaving", clear(Leaving)}, {suspected(Fit), "undecided", suspected(Fit)},
		{suspected(Unfit), "fit", clear(Fit)}, {suspected(Unfit), "unfit", clear(Unfit)},
		{suspected(Unfit), "leaving", clear(Leaving)}, {suspected(Unfit), "undecided", suspected(Unfit)},
		{suspected(Leaving), "fit", clear(Fit)}, {suspected(Leaving), "unfit", clear(Unfit)},
		{suspected(Leaving), "leaving", clear(Leaving)}, {suspected(Leaving), "undecided", suspected(Leaving)},

		// What a probe found that began before the suspicion can't clear it.
		{clear(Undecided), "stale fit", clear(Fit)}, {clear(Fit), "stale fit", clear(Fit)},
		{clear(Unfit), "stale fit", clear(Fit)}, {clear(Leaving), "stale fit", clear(Fit)},
		{suspected(Undecided), "stale fit", suspected(Undecided)}, {suspected(Fit), "stale fit", suspected(Fit)},
		{suspected(Unfit), "stale fit", suspected(Unfit)}, {suspected(Leaving), "stale fit", suspected(Leaving)},
		{suspected(Fit), "stale unfit", suspected(Fit)}, {suspected(Fit), "stale leaving", suspected(Fit)},
		{suspected(Fit), "stale undecided", suspected(Fit)},

		{clear(Undecided), "suspicion", suspected(Undecided)}, {clear(Fit), "suspicion", suspected(Fit)},
		{clear(Unfit), "suspicion", suspected(Unfit)}, {clear(Leaving), "suspicion", suspected(Leaving)},
		{suspected(Fit), "suspicion", suspected(Fit)},
	} {
		for _, o := range orders {
			was, want := condition{test.was.verdict, o, test.was.suspect}, condition{test.want.verdict, o, test.want.suspect}
			var got condition
			switch test.event {
			case "suspicion":
				got = was.suspected()
			default:
				var v Verdict
				fresh := true
				if _, err := fmt.Sscanf(test.event, "stale %s", new(string)); err == nil {
					fresh = false
				}
				for _, known := range verdicts {
					if test.event == known.String() || test.event == "stale "+known.String() {
						v = known
					}
				}
				got = was.judged(v, fresh)
			}
			if got != want {
				t.Errorf("%+v, %s: %+v, want %+v", was, test.event, got, want)
			}
		}
	}
}

// TestInvariants enumerates every condition and every event that can happen to it.
func TestInvariants(t *testing.T) {
	for _, c := range conditions() {
		if c.order == Disable && c.state() != Disabled {
			t.Errorf("%+v is %v: a person's word does not stand", c, c.state())
		}
		if c.order != Enable && c.state().takes() {
			t.Errorf("%+v takes sessions against a person's word", c)
		}
		if c.suspect && c.state().takes() {
			t.Errorf("%+v takes sessions, and is suspect", c)
		}
		for _, v := range verdicts {
			for _, fresh := range []bool{true, false} {
				after := c.judged(v, fresh)
				if after.order != c.order {
					t.Errorf("%+v: a report of %v changes a person's word", c, v)
				}
				if v != Fit && after.state().takes() && !c.state().takes() {
					t.Errorf("%+v takes sessions after a report of %v", c, v)
				}
				if c.suspect && !fresh && after != c {
					t.Errorf("%+v is %+v after a report of %v that is older than the suspicion", c, after, v)
				}
				if again := after.judged(v, fresh); again != after {
					t.Errorf("%+v: the same report twice is not as good as once: %+v, %+v", c, after, again)
				}
			}
			if after := c.judged(v, true); v != Undecided && (after.suspect || after.verdict != v) {
				t.Errorf("%+v is %+v after a fresh report of %v", c, after, v)
			}
		}
		if after := c.suspected(); after.state().takes() || after.order != c.order || after.verdict != c.verdict {
			t.Errorf("%+v is %+v after a suspicion", c, after)
		}
		for _, o := range orders {
			after := c.ordered(o)
			if after.order != o || after.verdict != c.verdict || after.suspect != c.suspect {
				t.Errorf("%+v is %+v after the order %v", c, after, o)
			}
			if back := after.ordered(c.order); back != c {
				t.Errorf("%+v: %v and back again gives %+v", c, o, back)
			}
		}
	}
}

func TestNamesOfStates(t *testing.T) {
	text, err := json.Marshal([]State{Unknown, Up, Draining, Down, Disabled, 9})
	if want := `["unknown","up","draining","down","disabled","state_9"]`; err != nil || string(text) != want {
		t.Errorf("%s %v, want %s", text, err, want)
	}
}

func TestPrefer(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:1"), netip.MustParseAddrPort("10.0.0.3:1")
	for name, test := range map[string]struct {
		known     []netip.AddrPort
		preferred netip.AddrPort
		want      []netip.AddrPort
	}{
		"the first":                  {[]netip.AddrPort{a, b, c}, a, []netip.AddrPort{a, b, c}},
		"the last":                   {[]netip.AddrPort{a, b, c}, c, []netip.AddrPort{c, a, b}},
		"one that has gone meantime": {[]netip.AddrPort{a, b}, c, []netip.AddrPort{a, b}},
		"none known":                 {nil, a, nil},
	} {
		backend := &Backend{}
		if test.known != nil {
			backend.addresses.Store(&test.known)
		}
		backend.prefer(test.preferred)
		if got := backend.Addresses(); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
