// Package history makes rates and a short past out of counters that somebody reads about once a second.
//
//	r := history.New[*Backend](history.Most)
//	r.Sample(time.Now(), readings) // again and again
//	_, rates := r.Now(b)           // over the last five seconds
//	r.Series(b, 0)                 // the last fifteen minutes, a point for each five seconds
//
// Whoever counts pays nothing for it: there are only the counters that are there anyway.
package history

import (
	"math"
	"sync"
	"time"
)

const (
	// Every is how often counters should be read. A page that shows the rates is no fresher than that.
	Every = time.Second
	// window is how many readings a rate goes back, and how many make one point. Bytes are counted about once a second by
	// each session, so that a rate over one second would jump.
	window = 5
	// Step is the time from one point to the next.
	Step = window * Every
	// Points is how many of them are kept: fifteen minutes.
	Points = int(15 * time.Minute / Step)
	// Most is how many sources a Recorder keeps points of, if it is given that bound: a point has 24 bytes, 180 of them
	// 4,320, those of 1,000 sources 4.3 MB. Sources on top of that have rates alone.
	Most = 1000
)

// Reading is what the counters of a source said at one moment. All but Sessions and State only grow.
type Reading struct {
	Sessions           int     // now
	Total              uint64  // sessions ever
	ToServer, ToClient float64 // bytes ever
	Greetings          uint64  // greetings that sessions have got, ever
	GreetingSeconds    float64 // and the time that they waited for them
	// ProbeGreeting is what the latest probe waited for its greeting; 0 when it got none. It stands in while no session
	// begins.
	ProbeGreeting time.Duration
	// State is the source's; a point has the greatest one of its time.
	State uint8
}

// Entry is a source and its reading.
type Entry[K comparable] struct {
	Source K
	Reading
}

// Rates are what happened over the last five seconds, or since the source is known.
type Rates struct {
	NewSessions float64 `json:"new_sessions"` // a second
	ToServer    float64 `json:"to_server"`    // bytes a second
	ToClient    float64 `json:"to_client"`
	// Greeting is the mean that sessions which began in that time waited for the server's greeting, in nanoseconds; 0 when
	// none did.
	Greeting time.Duration `json:"greeting"`
}

// Point is a source's state at the end of a step, and its rates over it.
type Point struct {
	Sessions                        float32
	NewSessions, ToServer, ToClient float32 // a second
	Greeting                        float32 // seconds; NaN when nobody has been greeted
	State                           uint8
}

// Series is the past of one source, oldest first.
type Series[K comparable] struct {
	Source K
	// First is the step of the first point. Steps are counted from 1 on.
	First  uint64
	Points []Point
}

// Recorder keeps the past of sources, which may come and go. It may be used by several goroutines; Sample by one.
type Recorder[K comparable] struct {
	most int // sources with points

	mu struct {
		sync.Mutex
		samples uint64
		tracks  map[K]*track
		kept    int // tracks with points
	}
}

// track is what is known of one source.
type track struct {
	seen     uint64 // the latest sample that it was in
	readings [window + 1]reading
	count    int   // of readings ever
	state    uint8 // the greatest of this step
	first    uint64
	points   *[Points]Point // by step, modulo their number; nil for a source on top of the bound
}

type reading struct {
	at time.Time
	Reading
}

// New returns a Recorder that keeps points of so many sources at most.
func New[K comparable](most int) *Recorder[K] {
	r := &Recorder[K]{most: most}
	r.mu.tracks = map[K]*track{}
	return r
}

// Sample takes the readings of all sources, in the order in which Series will list them. Sources that are missing are
// forgotten.
func (r *Recorder[K]) Sample(now time.Time, entries []Entry[K]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.samples++
	for i := range entries {
		r.take(now, &entries[i])
	}
	for source, t := range r.mu.tracks {
		if t.seen != r.mu.samples {
			r.forget(source, t)
		}
	}
}

func (r *Recorder[K]) take(now time.Time, e *Entry[K]) {
	t := r.mu.tracks[e.Source]
	if t == nil {
		t = &track{}
		if r.mu.kept < r.most {
			t.points = new([Points]Point)
			r.mu.kept++
		}
		r.mu.tracks[e.Source] = t
	}
	t.seen = r.mu.samples
	t.readings[t.count%len(t.readings)] = reading{now, e.Reading}
	t.count++
	t.state = max(t.state, e.State)
	if r.mu.samples%window == 0 {
		t.step(r.mu.samples / window)
	}
}

func (r *Recorder[K]) forget(source K, t *track) {
	if t.points != nil {
		r.mu.kept--
	}
	delete(r.mu.tracks, source)
}

// step ends a step by a point.
func (t *track) step(step uint64) {
	if t.points == nil {
		return
	}
	if t.first == 0 {
		t.first = step
	}
	rates, last := t.rates(), t.last()
	p := Point{Sessions: float32(last.Sessions), NewSessions: float32(rates.NewSessions), ToServer: float32(rates.ToServer),
		ToClient: float32(rates.ToClient), Greeting: float32(math.NaN()), State: t.state}
	if greeting := rates.Greeting; greeting > 0 {
		p.Greeting = float32(greeting.Seconds())
	} else if last.ProbeGreeting > 0 {
		p.Greeting = float32(last.ProbeGreeting.Seconds())
	}
	t.points[step%uint64(Points)] = p
	t.state = 0
}

func (t *track) last() *reading { return &t.readings[(t.count-1)%len(t.readings)] }

// rates compares the latest reading with the oldest one that is left.
func (t *track) rates() Rates {
	now := t.last()
	then := &t.readings[0]
	if t.count > len(t.readings) {
		then = &t.readings[t.count%len(t.readings)]
	}
	seconds := now.at.Sub(then.at).Seconds()
	if seconds <= 0 {
		return Rates{}
	}
	made := Rates{
		NewSessions: float64(now.Total-then.Total) / seconds,
		ToServer:    (now.ToServer - then.ToServer) / seconds,
		ToClient:    (now.ToClient - then.ToClient) / seconds,
	}
	if n := now.Greetings - then.Greetings; n > 0 {
		made.Greeting = time.Duration((now.GreetingSeconds - then.GreetingSeconds) / float64(n) * float64(time.Second))
	}
	return made
}

// Now is the latest reading of a source, and its rates; zero for one that is not known.
func (r *Recorder[K]) Now(source K) (Reading, Rates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.mu.tracks[source]; t != nil {
		return t.last().Reading, t.rates()
	}
	return Reading{}, Rates{}
}

// Step is the number of the latest step; 0 before the first one has ended.
func (r *Recorder[K]) Step() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.samples / window
}

// Series is the past of a source after a step; 0 for all that there is. There may be no points.
func (r *Recorder[K]) Series(source K, since uint64) Series[K] {
	r.mu.Lock()
	defer r.mu.Unlock()
	made := Series[K]{Source: source}
	t := r.mu.tracks[source]
	if t == nil || t.points == nil || t.first == 0 {
		return made
	}
	last := r.mu.samples / window
	made.First = max(t.first, since+1)
	if last >= uint64(Points) {
		made.First = max(made.First, last-uint64(Points)+1)
	}
	for step := made.First; step <= last; step++ {
		made.Points = append(made.Points, t.points[step%uint64(Points)])
	}
	return made
}
