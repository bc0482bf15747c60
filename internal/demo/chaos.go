package demo

import (
	"context"
	"math/rand/v2"
	"time"

	"fairlead/internal/fakefe"
	"fairlead/internal/terminal"
)

// blow is something that happens to a front end.
type blow int

const (
	die blow = iota
	freeze
	leave
	heal
)

// What blows look like from outside.
var blowTexts = [...]string{
	die:    "dies: its connections are reset, its ports are closed",
	freeze: "freezes: connects work, and nothing is answered any more",
	leave:  "begins to leave gracefully: /api/health says so, and MySQL still greets",
	heal:   "is back",
}

// Pauses between blows: long enough to watch what each one does.
const (
	shortestPause = 1500 * time.Millisecond
	longestPause  = 4 * time.Second
)

// plan decides what happens next. It is pure but for the dice.
type plan struct {
	dice *rand.Rand
	sick []bool
}

func newPlan(size int, seed uint64) *plan {
	return &plan{dice: rand.New(rand.NewPCG(seed, 0)), sick: make([]bool, size)}
}

// next gives the pause, and what then happens to which front end. One is well at any time; when there is only one,
// nothing can happen, and ok is false.
func (p *plan) next() (pause time.Duration, fe int, b blow, ok bool) {
	var well, ill []int
	for i, sick := range p.sick {
		if sick {
			ill = append(ill, i)
		} else {
			well = append(well, i)
		}
	}
	pause = shortestPause + time.Duration(p.dice.Int64N(int64(longestPause-shortestPause)))
	switch {
	case len(p.sick) < 2:
		return 0, 0, heal, false
	case len(well) == 1 || len(ill) > 0 && p.dice.IntN(3) > 0: // most of the time most are well
		fe, b = ill[p.dice.IntN(len(ill))], heal
	default:
		fe, b = well[p.dice.IntN(len(well))], blow(p.dice.IntN(int(heal)))
	}
	p.sick[fe] = b != heal
	return pause, fe, b, true
}

// chaos carries a plan out.
type chaos struct {
	plan *plan
	fes  []*fakefe.FE
	feed *feed
}

func newChaos(cluster *fakefe.Cluster, seed uint64, f *feed) *chaos {
	fes := cluster.Members()
	return &chaos{plan: newPlan(len(fes), seed), fes: fes, feed: f}
}

// run lets things happen until ctx ends.
func (c *chaos) run(ctx context.Context) {
	for {
		pause, i, b, ok := c.plan.next()
		if !ok {
			c.feed.say(terminal.Cyan, "chaos: a single front end is left in peace: give it company with --fes")
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		c.feed.say(terminal.Cyan, "chaos: %s %s", c.fes[i].Name(), blowTexts[b])
		if err := strike(c.fes[i], b); err != nil {
			c.feed.say(terminal.Red, "chaos: %s: %v", c.fes[i].Name(), err)
		}
	}
}

func strike(fe *fakefe.FE, b blow) error {
	switch b {
	case die:
		return fe.Set(fakefe.Kill)
	case freeze:
		return fe.Set(fakefe.Freeze)
	case leave:
		fe.Leave(fakefe.Leaving{Min: 3 * time.Second, Max: 10 * time.Second})
		return nil
	}
	return fe.Restore()
}
