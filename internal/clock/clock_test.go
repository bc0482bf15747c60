package clock

import (
	"testing"
	"time"
	"unsafe"
)

// jumped is a time as it would have been read had the clock been wrong by some seconds: its monotonic reading is the same.
func jumped(t *testing.T, at time.Time, by time.Duration) time.Time {
	t.Helper()
	was := at
	// The time of day is kept in seconds above 30 bits for nanoseconds, see type Time.
	*(*uint64)(unsafe.Pointer(&at)) += uint64(int64(by/time.Second)) << 30
	if at.Sub(was) != 0 || at.Round(0).Sub(was.Round(0)) != by {
		t.Fatalf("package time has changed: %v is %v after %v", at, at.Sub(was), was)
	}
	return at
}

func TestTold(t *testing.T) {
	now := time.Now()
	then := now.Add(-3 * time.Minute)
	if got := Told(then, now); got != then {
		t.Errorf("a clock that goes right makes %v of %v", got, then)
	}
	if got := Told(time.Time{}, now); !got.IsZero() {
		t.Errorf("nothing becomes %v", got)
	}
	for _, by := range []time.Duration{2 * time.Second, -2 * time.Second, time.Hour, -24 * time.Hour, 20 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour} {
		after := jumped(t, now, by)
		got := Told(then, after)
		if age := after.Round(0).Sub(got.Round(0)); age != 3*time.Minute {
			t.Errorf("after a jump by %v it is %v ago", by, age)
		}
		if later := after.Add(time.Hour + time.Microsecond); Told(then, later).Round(0) != got.Round(0) {
			t.Errorf("after a jump by %v it is told as %v and as %v", by, got, Told(then, later))
		}
	}
}

// TestKept: what was agreed on by the time of day keeps its distance when the clock jumps after that.
func TestKept(t *testing.T) {
	now := time.Now()
	if got := Kept(time.Time{}, now); !got.IsZero() {
		t.Errorf("nothing becomes %v", got)
	}
	for _, ahead := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		got := Kept(now.Add(ahead).Round(0), now)
		if is := got.Sub(now); is != ahead {
			t.Errorf("%v ahead becomes %v", ahead, is)
		}
		for _, by := range []time.Duration{time.Hour, -time.Hour} {
			if is := got.Sub(jumped(t, now, by)); is != ahead {
				t.Errorf("%v ahead becomes %v after a jump by %v", ahead, is, by)
			}
			if told := Told(got, jumped(t, now, by)); told.Round(0).Sub(jumped(t, now, by).Round(0)) != ahead {
				t.Errorf("%v ahead is told as %v after a jump by %v", ahead, told, by)
			}
		}
	}
}

func TestHeard(t *testing.T) {
	now := time.Now()
	if got := Heard(time.Time{}, now, now); !got.IsZero() {
		t.Errorf("nothing becomes %v", got)
	}
	const ago = 3 * time.Minute
	for name, c := range map[string]struct{ told, then, want time.Duration }{ // before now, by the clock as it is now
		"at once":                       {0, ago, ago},
		"after some seconds":            {10 * time.Second, ago, ago},
		"the clock was an hour ahead":   {-time.Hour, -time.Hour + ago, ago},
		"the clock was a year behind":   {365 * 24 * time.Hour, 365*24*time.Hour + ago, ago},
		"in the future":                 {0, -time.Hour, 0},
		"in the future of who tells it": {time.Hour, 0, 0},
	} {
		then := now.Add(-c.then).Round(0)
		got := Heard(then, now.Add(-c.told).Round(0), now)
		if age := now.Sub(got); age != c.want {
			t.Errorf("%s: %v ago, want %v", name, age, c.want)
		}
		if after := jumped(t, now, time.Hour); after.Sub(got) != c.want {
			t.Errorf("%s: later it depends on the clock", name)
		}
	}
	if got := Heard(now.Add(-ago), time.Time{}, now); now.Sub(got) != ago {
		t.Errorf("from a build that does not say when: %v ago", now.Sub(got))
	}
}
