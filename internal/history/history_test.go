package history

import (
	"math"
	"testing"
	"time"
	"unsafe"
)

// recording is a Recorder whose time is a test's.
type recording struct {
	*Recorder[string]
	now time.Time
}

func newRecording(most int) *recording {
	return &recording{New[string](most), time.Unix(1_000_000, 0)}
}

func (r *recording) second(entries ...Entry[string]) {
	r.now = r.now.Add(time.Second)
	r.Sample(r.now, entries)
}

func (r *recording) rates(source string) Rates {
	_, rates := r.Now(source)
	return rates
}

func TestRates(t *testing.T) {
	r := newRecording(10)
	if got := r.rates("a"); got != (Rates{}) {
		t.Errorf("of nobody: %+v", got)
	}
	r.second(Entry[string]{"a", Reading{Total: 100, ToServer: 1000, Greetings: 50, GreetingSeconds: 7}})
	if got := r.rates("a"); got != (Rates{}) {
		t.Errorf("after one reading, which says nothing: %+v", got)
	}
	r.second(Entry[string]{"a", Reading{Total: 104, ToServer: 1000, ToClient: 30, Greetings: 52, GreetingSeconds: 7.5}})
	if got := r.rates("a"); got != (Rates{NewSessions: 4, ToClient: 30, Greeting: 250 * time.Millisecond}) {
		t.Errorf("after two: %+v", got)
	}
	if now, _ := r.Now("a"); now.Total != 104 || now.ToClient != 30 {
		t.Errorf("the latest reading: %+v", now)
	}
	for range window {
		r.second(Entry[string]{"a", Reading{Total: 104, ToServer: 1000, ToClient: 30, Greetings: 52, GreetingSeconds: 7.5}})
	}
	if got := r.rates("a"); got != (Rates{}) {
		t.Errorf("after five seconds without anything: %+v", got)
	}
	r.now = r.now.Add(4 * time.Second) // the reader was late: what counts is the time that has passed
	r.second(Entry[string]{"a", Reading{Total: 122, ToServer: 1000, ToClient: 30, Greetings: 52, GreetingSeconds: 7.5}})
	if got := r.rates("a"); got != (Rates{NewSessions: 2}) {
		t.Errorf("18 new sessions in nine seconds: %+v", got)
	}
}

func TestSeries(t *testing.T) {
	r := newRecording(10)
	total := uint64(0)
	for i := range 3 * Points * window {
		total += 2
		state := uint8(1)
		if i == 3*Points*window-window-1 {
			state = 3 // for one second of the last but one point
		}
		r.second(Entry[string]{"a", Reading{Sessions: i, Total: total, State: state, ProbeGreeting: time.Millisecond}})
	}
	last := r.Step()
	if last != uint64(3*Points) {
		t.Fatalf("step %d", last)
	}
	s := r.Series("a", 0)
	if len(s.Points) != Points || s.First != last-uint64(Points)+1 {
		t.Fatalf("%d points from %d on", len(s.Points), s.First)
	}
	for i, p := range s.Points {
		want := Point{Sessions: float32((int(s.First)+i)*window - 1), NewSessions: 2, Greeting: .001, State: 1}
		if i == Points-2 {
			want.State = 3
		}
		if p != want {
			t.Fatalf("point %d: %+v, want %+v", i, p, want)
		}
	}
	if s := r.Series("a", last-3); len(s.Points) != 3 || s.First != last-2 {
		t.Errorf("since the last but three: %+v", s)
	}
	if s := r.Series("a", last); len(s.Points) != 0 {
		t.Errorf("since the last: %+v", s)
	}
	if s := r.Series("a", math.MaxUint64-1); len(s.Points) != 0 {
		t.Errorf("since the end of time: %+v", s)
	}
}

// TestComingAndGoing: who joins has no past, who leaves is forgotten, and no more than the bound are kept.
func TestComingAndGoing(t *testing.T) {
	r := newRecording(1)
	for range window {
		r.second(Entry[string]{Source: "a"})
	}
	for range window {
		r.second(Entry[string]{Source: "a"}, Entry[string]{Source: "b", Reading: Reading{Total: 1}})
	}
	if s := r.Series("a", 0); len(s.Points) != 2 || !math.IsNaN(float64(s.Points[0].Greeting)) {
		t.Errorf("a: %+v", s)
	}
	if s := r.Series("b", 0); len(s.Points) != 0 {
		t.Errorf("b is one too many: %+v", s)
	}
	r.second(Entry[string]{Source: "b", Reading: Reading{Total: 6}})
	if got := r.rates("b").NewSessions; got != 1 {
		t.Errorf("b has %v new sessions a second", got)
	}
	for range window {
		r.second(Entry[string]{Source: "c"})
	}
	if s := r.Series("c", 0); len(s.Points) != 1 || s.First != 3 {
		t.Errorf("c, which has a's place: %+v", s)
	}
	if len(r.mu.tracks) != 1 || r.mu.kept != 1 {
		t.Errorf("%d sources, %d with points", len(r.mu.tracks), r.mu.kept)
	}
}

// TestBound: what the documentation says of memory.
func TestBound(t *testing.T) {
	if one := unsafe.Sizeof(Point{}); one != 24 || Points != 180 || Most*Points*int(one) != 4_320_000 {
		t.Errorf("%d points of %d bytes", Points, one)
	}
}

func BenchmarkSample1000(b *testing.B) {
	r := New[int](Most)
	entries := make([]Entry[int], 1000)
	for i := range entries {
		entries[i].Source = i
	}
	now := time.Now()
	for b.Loop() {
		now = now.Add(Every)
		r.Sample(now, entries)
	}
}
