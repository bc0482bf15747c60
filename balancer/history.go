package balancer

import (
	"context"
	"time"

	"fairlead/internal/clock"
	"fairlead/internal/history"
)

// past is what is remembered of the backends: rates, and a point for each five seconds of the last fifteen minutes.
type past struct {
	*history.Recorder[*Backend]
	entries []history.Entry[*Backend] // made anew by each sample, in the same place
}

func newPast() past { return past{Recorder: history.New[*Backend](history.Most)} }

// remember reads the counters about once a second.
func (b *Balancer) remember(ctx context.Context) {
	again := time.NewTicker(history.Every)
	defer again.Stop()
	for {
		b.sample(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// sample reads the counters of all backends once.
func (b *Balancer) sample(now time.Time) {
	entries := b.past.entries[:0]
	for _, p := range b.Pools() {
		p.mu.Lock()
		for _, backend := range p.mu.backends {
			entries = append(entries, backend.reading())
		}
		for _, gone := range p.mu.leaving {
			entries = append(entries, gone.reading())
		}
		p.mu.Unlock()
	}
	for i := range entries { // without the lock: this is slower
		b.count(&entries[i])
	}
	b.past.Sample(now, entries)
	clear(entries[len(entries):cap(entries)]) // backends that are gone
	b.past.entries = entries
}

// count reads the counters of a backend. Where nobody has been since the reading before, nothing can have changed.
func (b *Balancer) count(e *history.Entry[*Backend]) {
	was, _ := b.past.Now(e.Source)
	if e.Sessions == 0 && was.Sessions == 0 && e.Total == was.Total {
		e.ToServer, e.ToClient, e.Greetings, e.GreetingSeconds = was.ToServer, was.ToClient, was.Greetings, was.GreetingSeconds
		return
	}
	counted := e.Source.metrics.Read()
	e.ToServer, e.ToClient = counted.ToServer, counted.ToClient
	e.Greetings, e.GreetingSeconds = counted.Greetings, counted.GreetingSeconds
}

// reading is what the pool's lock guards.
func (b *Backend) reading() history.Entry[*Backend] {
	return history.Entry[*Backend]{Source: b, Reading: history.Reading{Sessions: b.mu.sessions, Total: b.mu.total,
		ProbeGreeting: b.mu.probe.Greeting, State: uint8(b.mu.condition.state())}}
}

// History is the last fifteen minutes of all backends, a point for each Step seconds.
type History struct {
	// Started is the balancer's start: steps begin anew with it.
	Started time.Time `json:"started"`
	// Step is the time from one point to the next, in seconds, Points how many there are at most, and Latest the number of
	// the latest step.
	Step     float64          `json:"step"`
	Points   int              `json:"points"`
	Latest   uint64           `json:"latest"`
	Backends []BackendHistory `json:"backends"`
}

// BackendHistory is one backend's part: lists of the same length, oldest first.
type BackendHistory struct {
	Pool    string `json:"pool"`
	Backend string `json:"backend"`
	First   uint64 `json:"first"` // the step of the first point
	// State has a letter for each point: ? for unknown, u for up, l for draining (it leaves), d for down, x for disabled.
	State       string    `json:"state"`
	Sessions    []float32 `json:"sessions"`
	NewSessions []float32 `json:"new_sessions"` // a second, as are the next two
	ToServer    []float32 `json:"to_server"`    // bytes
	ToClient    []float32 `json:"to_client"`
	Greeting    []float32 `json:"greeting"` // microseconds; -1 when nobody was greeted
}

// stateLetters are those of a BackendHistory.
const stateLetters = "?uldx"

// History gathers what came after a step; 0 for all that is remembered. Backends without a point are left out, and so are
// those that are removed, where another one has their name.
func (b *Balancer) History(since uint64) History {
	h := History{Started: clock.Told(b.started, time.Now()), Step: history.Step.Seconds(), Points: history.Points, Latest: b.past.Step(), Backends: []BackendHistory{}}
	for _, p := range b.Pools() {
		for _, backend := range p.remembered() {
			if s := b.past.Series(backend, since); len(s.Points) > 0 {
				h.Backends = append(h.Backends, newBackendHistory(s))
			}
		}
	}
	return h
}

// remembered are the members, and those that have left, keep sessions, and are the last of their name.
func (p *Pool) remembered() []*Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append([]*Backend(nil), p.mu.backends...)
	for i, gone := range p.mu.leaving {
		if p.member(gone.Name) == nil && !hasNamed(p.mu.leaving[i+1:], gone.Name) {
			all = append(all, gone)
		}
	}
	return all
}

func newBackendHistory(s history.Series[*Backend]) BackendHistory {
	n := len(s.Points)
	room := make([]float32, 5*n)
	column := func(i int) []float32 { return room[i*n : (i+1)*n : (i+1)*n] }
	h := BackendHistory{Pool: s.Source.Pool.name, Backend: s.Source.Name, First: s.First,
		Sessions: column(0), NewSessions: column(1), ToServer: column(2), ToClient: column(3), Greeting: column(4)}
	states := make([]byte, n)
	for i, p := range s.Points {
		states[i] = stateLetters[min(int(p.State), len(stateLetters)-1)]
		h.Sessions[i] = p.Sessions
		h.NewSessions[i], h.ToServer[i], h.ToClient[i] = tenths(p.NewSessions), tenths(p.ToServer), tenths(p.ToClient)
		h.Greeting[i] = -1
		if p.Greeting >= 0 { // not NaN
			h.Greeting[i] = tenths(p.Greeting * 1e6)
		}
	}
	h.State = string(states)
	return h
}

// tenths rounds to a tenth, which makes short texts.
func tenths(v float32) float32 {
	if v > 1e5 {
		return float32(int64(v))
	}
	return float32(int64(v*10+.5)) / 10
}
