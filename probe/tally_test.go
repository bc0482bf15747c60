package probe

import (
	"strings"
	"testing"
)

// A history is made of events: + fit, - unfit, 5 leaving, ? without evidence, s a suspicion. What is expected
// after each is its verdict: F, U, L, or . for undecided; small where more probes are called for at once.
func TestTally(t *testing.T) {
	for _, test := range []struct {
		why           string
		rise, fall    int
		events, after string
	}{
		{"the first success decides", 2, 2, "+", "F"},
		{"the first failure decides", 2, 3, "-", "U"},
		{"no evidence decides nothing", 2, 2, "??+?", "..FF"},
		{"fall failures in a row", 2, 3, "+--+---", "FffFffU"},
		{"rise successes in a row", 3, 2, "-++-+++", "UuuUuuF"},
		{"one of each", 1, 1, "+-+-", "FUFU"},
		{"no evidence does not count", 2, 2, "+-?-", "FffU"},
		{"nor does it begin anew", 2, 2, "-+?+", "UuuF"},
		{"leaving at once", 2, 2, "+5", "FL"},
		{"leaving at first sight", 2, 2, "5", "L"},
		{"leaving from the middle of a fall", 2, 3, "+--5", "FffL"},
		{"leaving, gone, and back", 2, 2, "+5--++", "FLlUuF"},
		{"leaving and thought better of it", 2, 2, "+5++", "FLlF"},
		{"leaving, back, leaving", 2, 2, "+5+5+", "FLlLl"},
		{"leaving and lost for a moment", 2, 2, "+5-5", "FLlL"},
		{"an unfit one that greets and leaves", 2, 2, "-5", "UL"},
		{"a false suspicion", 2, 2, "+s++", "F..F"},
		{"a true suspicion is the first failure", 2, 2, "+s-", "F.U"},
		{"with a longer fall", 2, 3, "+s--", "F..U"},
		{"with a fall of one a probe must agree", 2, 1, "+s-", "F.U"},
		{"suspicions alone never make it unfit", 1, 2, "+sss+", "F...F"},
		{"a success between", 2, 2, "+s+-+-", "F....."},
		{"and then failures in a row", 2, 2, "+s+--", "F...U"},
		{"a suspicion during the rise begins it anew", 2, 2, "-+s++", "UuUuF"},
		{"one of a rising suspect too", 2, 2, "+s+s++", "F....F"},
		{"before any probe", 2, 2, "s++", "..F"},
		{"before any probe, and true", 2, 2, "s-", ".U"},
		{"of a leaving one", 2, 2, "5s++", "LLlF"},
		{"no evidence against a suspicion", 2, 2, "+s??++", "F....F"},
	} {
		var tally tally
		var after strings.Builder
		for _, event := range test.events {
			switch event {
			case '+':
				tally = tally.add(Fit, test.rise, test.fall)
			case '-':
				tally = tally.add(Unfit, test.rise, test.fall)
			case '5':
				tally = tally.add(Leaving, test.rise, test.fall)
			case '?':
				tally = tally.add(Undecided, test.rise, test.fall)
			case 's':
				tally = tally.suspect()
			}
			letter := map[Verdict]string{Fit: "F", Unfit: "U", Leaving: "L", Undecided: "."}[tally.verdict]
			if !tally.settled() {
				letter = strings.ToLower(letter)
			}
			after.WriteString(letter)
		}
		if after.String() != test.after {
			t.Errorf("%s: %s gives %s, want %s", test.why, test.events, after.String(), test.after)
		}
	}
}

func TestSuspectIsNotSettled(t *testing.T) {
	if s := (tally{verdict: Fit}).suspect(); s.settled() || s.verdict != Undecided {
		t.Errorf("%+v", s)
	}
	if s := (tally{}); !s.settled() {
		t.Errorf("%+v", s)
	}
}
