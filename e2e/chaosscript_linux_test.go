package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A chaos is a sequence of acts. In each one deeds begin and end as a script says, which follows from the seed and the act's
// number alone; then all is healed, and counted.

// cue is one line of a script: a deed's beginning, or its end.
type cue struct {
	at    time.Duration // from the act's beginning
	deed  *deed
	fe    int // to which it is done; ownTrouble for what is done to fairlead
	ends  bool
	takes time.Duration
	pick  uint64 // chooses what else there is to choose
}

// String is the line.
func (c cue) String() string {
	whom := "fairlead"
	if c.fe != ownTrouble {
		whom = fmt.Sprintf("fe %d", c.fe+1)
	}
	if c.ends {
		return fmt.Sprintf("%7.3fs  %s: end of %s", c.at.Seconds(), whom, c.deed.name)
	}
	return fmt.Sprintf("%7.3fs  %s: %s for %v", c.at.Seconds(), whom, c.deed.name, c.takes.Round(time.Millisecond))
}

// script is an act.
type script []cue

// String is all its lines.
func (s script) String() string {
	var b strings.Builder
	for _, c := range s {
		b.WriteString(c.String() + "\n")
	}
	return b.String()
}

const (
	// longestGap is the longest pause from one deed's beginning to the next one's.
	longestGap = 700 * time.Millisecond
	// outages is one act of so many in which front ends may be struck all at the same time.
	outages = 4
)

// write makes the script of an act that takes so long, with those of the deeds that can be done here.
func write(seed, act uint64, length time.Duration, fes int, deeds []*deed) script {
	random := rand.New(rand.NewPCG(seed, act))
	var total int
	for _, d := range deeds {
		total += d.weight
	}
	free := make([]time.Duration, fes) // when nothing is done to each any more, and it has settled
	var own time.Duration
	spared := random.IntN(fes) // always fit, but in an act with an outage
	if random.IntN(outages) == 0 {
		spared = fes
	}
	var all script
	for at := time.Duration(0); ; {
		at += time.Duration(random.Int64N(int64(longestGap)))
		n, d := random.IntN(total), (*deed)(nil)
		for _, d = range deeds {
			if n -= d.weight; n < 0 {
				break
			}
		}
		begins := cue{at: at, deed: d, fe: ownTrouble, pick: random.Uint64(), takes: d.shortest}
		begins.takes += time.Duration(random.Float64() * float64(d.longest-d.shortest))
		over := at + begins.takes
		first := random.IntN(fes)
		switch {
		case over > length && at > length:
			slices.SortStableFunc(all, func(a, b cue) int { return int(a.at - b.at) })
			return all
		case over > length:
			continue
		case d.own && at < own:
			continue
		case d.own:
			own = over
		default:
			i := slices.IndexFunc(make([]struct{}, fes), func(struct{}) bool {
				first = (first + 1) % fes
				return first != spared && free[first] <= at
			})
			if i < 0 {
				continue
			}
			begins.fe, free[first] = first, over
		}
		ends := begins
		ends.at, ends.ends = over, true
		all = append(all, begins, ends)
	}
}
