package probe

// tally turns the verdicts of single probes into one that does not flutter. It is a value: what comes out
// depends on what went in and on nothing else.
//
//   - The very first evidence decides, good or bad: nothing else is known. HAProxy starts its servers likewise, one
//     failure away from down.
//   - From then on fall failures in a row make a backend unfit, and rise successes in a row make it fit.
//   - One answer is enough for leaving, for it is the server's own word. Back from there it is fit after rise
//     successes, whether it was gone in between or not; gone is unfit after fall failures.
//   - A suspicion from live traffic puts a fit backend back to undecided and is its first failure; from there rise
//     successes are needed, for traffic has just seen what probes did not.
//   - A probe without evidence changes nothing.
type tally struct {
	verdict Verdict
	// successes and failures count those in a row that the verdict does not reflect yet.
	successes, failures int
	// suspected says that live traffic has seen a failure since the backend was last fit.
	suspected bool
}

// begun returns the tally of a backend whose verdict is known already; Undecided is as good as nothing.
func begun(known Verdict) tally { return tally{verdict: known} }

// add returns the tally after a probe with the verdict v.
func (t tally) add(v Verdict, rise, fall int) tally {
	switch v {
	case Fit:
		t.failures = 0
		t.successes++
		if t.verdict == Fit || t.untold() || t.successes >= rise {
			return tally{verdict: Fit}
		}
	case Unfit:
		t.successes = 0
		t.failures++
		if t.verdict == Unfit || t.untold() || t.failures >= fall {
			return tally{verdict: Unfit}
		}
	case Leaving:
		return tally{verdict: Leaving}
	}
	return t
}

// untold says that there has been no evidence yet.
func (t tally) untold() bool { return t.verdict == Undecided && !t.suspected }

// suspect returns the tally after live traffic saw a failure.
func (t tally) suspect() tally {
	t.successes = 0
	if t.verdict == Fit || t.verdict == Undecided {
		t.verdict = Undecided
		t.suspected = true
		t.failures = max(t.failures, 1)
	}
	return t
}

// settled says that probes agree with the verdict, so that there is no hurry. A backend that only ever
// gave no evidence is settled as well.
func (t tally) settled() bool { return t.successes == 0 && t.failures == 0 && !t.suspected }
