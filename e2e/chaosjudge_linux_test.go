package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fairlead/internal/mysqlwire"
)

// span is a time in which something was done, to one front end, or to fairlead itself (fe is ownTrouble).
type span struct {
	what     string
	fe       int
	kills    bool // sessions there may end
	atRest   bool // but only between two questions
	drops    bool // logins under way may be lost there
	refuses  bool // statements there may be refused
	from, to time.Time
}

// ownTrouble marks what fairlead lacks itself: nobody can be served without descriptors.
const ownTrouble = -1

// settling is how long a front end is not counted on after something has been done to it: far longer than the probes need that
// find it fit again.
const settling = 3 * time.Second

// judge knows what was done when, and tells what may have come of it from what must not.
type judge struct {
	mu struct {
		sync.Mutex
		spans      []span
		violations []string
		live       map[string]map[uint32]*chaosSession // by server and its number
		ticked     time.Time                           // when standsStill looked last
		tally
	}
	fes        int
	rebalances bool          // fairlead may end any session between two questions
	violate    chan struct{} // gets a word at each violation
}

// tally is what has come about.
type tally struct {
	Logins           int
	Refused, Short   int // while no front end was fit, or fairlead lacked something
	Twice            int // lost by two servers, one after the other
	Sessions, Lost   int // Lost are those that may be
	Questions, Bytes int
	Strangers, Deeds int
	Standstills      int // of the machine, during which nobody is judged
}

func newJudge(fes int) *judge {
	j := &judge{fes: fes, violate: make(chan struct{}, 1)}
	j.mu.live = make(map[string]map[uint32]*chaosSession)
	return j
}

// begin notes that something is about to be done.
func (j *judge) begin(s span) (end func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s.from = time.Now()
	i := len(j.mu.spans)
	j.mu.spans = append(j.mu.spans, s)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.mu.spans[i].to = time.Now()
	}
}

// longestStandstill is how long the machine may have left this process waiting before its times mean nothing any more: a black hole
// that should have been short was not, and fairlead's clocks have run out while nobody could move.
const longestStandstill = time.Second

// standsStill notes when the machine stands still, until ctx ends.
func (j *judge) standsStill(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		j.mu.Lock()
		j.look(time.Now())
		j.mu.Unlock()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look notes a standstill that is just over.
func (j *judge) look(now time.Time) {
	if !j.mu.ticked.IsZero() && now.Sub(j.mu.ticked) > longestStandstill {
		j.mu.Standstills++
		j.mu.spans = append(j.mu.spans, span{what: "standstill", fe: ownTrouble, from: j.mu.ticked, to: now})
	}
	j.mu.ticked = now
}

// stoodStill tells whether the machine has not long ago.
func (j *judge) stoodStill(now time.Time) bool {
	const notLong = 20 * time.Second // what it has broken may be seen late
	return len(j.during(now.Add(-notLong), now, 0, func(s span) bool { return s.what == "standstill" })) > 0
}

// during are the spans that overlap a time, each counted as longer by after.
func (j *judge) during(from, to time.Time, after time.Duration, wanted func(span) bool) []span {
	var all []span
	for _, s := range slices.Backward(j.mu.spans) {
		if s.from.Before(to) && (s.to.IsZero() || s.to.Add(after).After(from)) && wanted(s) {
			all = append(all, s)
		}
	}
	return all
}

// login judges a login: none fails while a front end is there to which nothing was done from long before its beginning to its end.
func (j *judge) login(client string, began, ended time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.look(time.Now())
	j.mu.Logins++
	if err == nil {
		return
	}
	touched := make(map[int]bool)
	for _, s := range j.during(began, ended, settling, func(s span) bool { return s.fe != ownTrouble }) {
		touched[s.fe] = true
	}
	own := j.during(began, ended, ownRecovery, func(s span) bool { return s.fe == ownTrouble })
	switch {
	case errors.Is(err, errWrong):
	case len(own) > 0:
		j.mu.Short++
		return
	case len(touched) == j.fes:
		j.mu.Refused++
		return
	case lostTwice(err, j.during(began, ended, 0, func(s span) bool { return s.kills || s.drops })):
		j.mu.Twice++
		return
	}
	j.violated("a login failed although a fit front end was there: client %s, began %s, took %v: %v\n  touched at that time: %v", client, began.Format("05.000"),
		ended.Sub(began).Round(time.Millisecond), err, slices.Sorted(maps.Keys(touched)))
}

// lostTwice tells whether a login may have been lost by one server and then by the one to which it was moved, once that one had
// asked the client for its password anew: with that the client has begun with it for good.
func lostTwice(err error, meanwhile []span) bool {
	at := make(map[int]bool)
	for _, s := range meanwhile {
		at[s.fe] = true
	}
	var refused *mysqlwire.ServerError
	return len(at) > 1 && !errors.As(err, &refused)
}

// ownRecovery is how long after its own trouble fairlead is not counted on.
const ownRecovery = 200 * time.Millisecond

// lateEnd is how long after something has been done to its server a session may still be ended by that.
const lateEnd = 3 * time.Second

// lost judges a session's end against its client's will: something must have been done to its server that can end it. What has
// come before is right in any case, unless the error is errWrong.
func (j *judge) lost(s *chaosSession, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	j.look(now)
	at := func(d span) bool { return d.fe == s.fe || s.fe < 0 && d.fe != ownTrouble }
	var reasons []span
	var refused errRefused
	var cut errCut
	atRest := !errors.As(err, &cut) || cut.got == 0
	switch {
	case errors.Is(err, errWrong):
	case atRest && j.rebalances, j.stoodStill(now):
		j.mu.Lost++
		return
	case errors.As(err, &refused): // some of the session's questions, the last ones, may have been refused at any time before they were
		reasons = j.during(now.Add(-chaosPatience), now, 0, func(d span) bool { return at(d) && d.refuses })
	default: // by what was over long before it was still answered it can't have been
		reasons = j.during(s.answered, now, lateEnd, func(d span) bool { return at(d) && d.kills && (atRest || !d.atRest) })
	}
	if len(reasons) > 0 {
		j.mu.Lost++
		return
	}
	j.violated("session %v was lost: %v", s, err)
}

// present notes a session, which must be the only one of its name.
func (j *judge) present(s *chaosSession) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.Sessions++
	at := j.mu.live[s.who.server]
	if at == nil {
		at = make(map[uint32]*chaosSession)
		j.mu.live[s.who.server] = at
	}
	if other := at[s.who.connection]; other != nil {
		j.violated("two clients have one session: %v and %v", s, other)
	}
	at[s.who.connection] = s
}

// absent notes a session's end.
func (j *judge) absent(s *chaosSession) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.mu.live[s.who.server], s.who.connection)
}

// liveAt counts the clients that believe to have a session on a server.
func (j *judge) liveAt(server string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.mu.live[server])
}

// answered counts right answers.
func (j *judge) answered(questions, bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.Questions += questions
	j.mu.Bytes += bytes
}

// stranger and deed count.
func (j *judge) stranger() { j.mu.Lock(); defer j.mu.Unlock(); j.mu.Strangers++ }
func (j *judge) deed()     { j.mu.Lock(); defer j.mu.Unlock(); j.mu.Deeds++ }

// violation notes what must never be.
func (j *judge) violation(format string, values ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violated(format, values...)
}

func (j *judge) violated(format string, values ...any) {
	j.mu.violations = append(j.mu.violations, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, values...))
	select {
	case j.violate <- struct{}{}:
	default:
	}
}

// verdict is all violations so far, the first ones in full.
func (j *judge) verdict() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	const shown = 20
	all := j.mu.violations
	if len(all) > shown {
		return strings.Join(all[:shown], "\n") + fmt.Sprintf("\nand %d more", len(all)-shown)
	}
	return strings.Join(all, "\n")
}

// tally is the figures so far.
func (j *judge) tally() tally {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.tally
}

// String is the figures in words.
func (t tally) String() string {
	return fmt.Sprintf("%d questions in %d sessions, %.1f GB, all answers right; %d logins, %d refused while nothing was fit, %d in a shortage, %d lost by two servers; %d sessions lost with their server; "+
		"%d strangers; %d deeds; the machine stood still %d times", t.Questions, t.Sessions, float64(t.Bytes)/1e9, t.Logins, t.Refused, t.Short, t.Twice, t.Lost, t.Strangers, t.Deeds, t.Standstills)
}
