package balancer

import "testing"

func TestTidyAfterEachBurst(t *testing.T) {
	var tidy tidying
	for i, step := range []struct {
		fresh uint64
		want  bool
	}{
		{0, false}, {burst - 1, false}, {0, false}, // no burst
		{burst, false}, {5 * burst, false}, {burst / 2, false}, // a burst, and not yet calm
		{burst / 20, true}, {0, false}, // over, once
		{burst, false}, {0, true}, // the next one
	} {
		if got := tidy.tick(tidy.total + step.fresh); got != step.want {
			t.Errorf("step %d: %d new sessions: tidy %v, want %v", i, step.fresh, got, step.want)
		}
	}
}
