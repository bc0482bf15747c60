package balancer

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// bench is a seat that may be taken, for tests to spoil.
func bench(weight int32) seat { return seat{open: true, weight: weight} }

// benches are seats that may be taken, one for each weight, with names of their own.
func benches(weights ...int32) []seat {
	seats := make([]seat, len(weights))
	for i, w := range weights {
		seats[i] = bench(w)
		seats[i].hash = hashName(fmt.Sprintf("10.0.0.%d:9030", i))
	}
	return seats
}

func TestNoPolicyTakesWhatMayNotBeTaken(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*seat)
		round round
	}{
		"closed":            {spoil: func(s *seat) { s.open = false }},
		"no weight":         {spoil: func(s *seat) { s.weight = 0 }},
		"full":              {spoil: func(s *seat) { s.max, s.sessions = 2, 2 }},
		"over its cap":      {spoil: func(s *seat) { s.max, s.sessions = 2, 5 }},
		"backup":            {spoil: func(s *seat) { s.backup = true }},
		"tried":             {spoil: func(*seat) {}, round: round{tried: []uint64{1}}},
		"no backup, wanted": {spoil: func(*seat) {}, round: round{backup: true}},
	} {
		for _, policy := range []Policy{LeastConnections, RoundRobin, SourceHash} {
			t.Run(fmt.Sprintf("%s/%s", policy, name), func(t *testing.T) {
				r := test.round
				r.seats = []seat{bench(1), bench(1)}
				test.spoil(&r.seats[0])
				if r.backup {
					r.seats[1].backup = true
				}
				if got := policy.pick(&r); got != 1 {
					t.Errorf("seat %d is taken, want 1", got)
				}
				r.seats = r.seats[:1]
				if got := policy.pick(&r); got != -1 {
					t.Errorf("seat %d is taken where none may be", got)
				}
				r.seats = nil
				if got := policy.pick(&r); got != -1 {
					t.Errorf("seat %d of none is taken", got)
				}
			})
		}
	}
}

func TestTriedReachesBeyondOneWord(t *testing.T) {
	r := round{seats: benches(make([]int32, 130)...), tried: make([]uint64, 3)}
	for i := range r.seats {
		r.seats[i].weight = 1
		if i != 129 {
			r.tried[i/64] |= 1 << (i % 64)
		}
	}
	for _, policy := range []Policy{LeastConnections, RoundRobin, SourceHash} {
		if got := policy.pick(&r); got != 129 {
			t.Errorf("%s takes %d, want the one that was not tried, 129", policy, got)
		}
	}
}

func TestLeastConnections(t *testing.T) {
	for name, test := range map[string]struct {
		sessions, weights []int32
		start, want       int
	}{
		"the fewest":                          {sessions: []int32{3, 1, 2}, weights: []int32{1, 1, 1}, want: 1},
		"ties from the start on":              {sessions: []int32{0, 0, 0}, weights: []int32{1, 1, 1}, start: 1, want: 1},
		"ties around the end":                 {sessions: []int32{0, 1, 1}, weights: []int32{1, 1, 1}, start: 2, want: 0},
		"by weight":                           {sessions: []int32{10, 15}, weights: []int32{1, 2}, want: 1},
		"with the session that is to come":    {sessions: []int32{0, 0}, weights: []int32{1, 2}, want: 1},
		"the same load for each, by weight":   {sessions: []int32{1, 3}, weights: []int32{1, 2}, start: 1, want: 1},
		"great weights":                       {sessions: []int32{999, 0}, weights: []int32{1000, 1}, want: 0},
		"many sessions, where int32 would do": {sessions: []int32{math.MaxInt32 - 1, math.MaxInt32 - 2}, weights: []int32{1000, 1000}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := round{seats: benches(test.weights...), start: test.start}
			for i := range r.seats {
				r.seats[i].sessions = test.sessions[i]
			}
			if got := leastConnections(&r); got != test.want {
				t.Errorf("takes %d, want %d", got, test.want)
			}
		})
	}
}

// TestSharesFollowTheWeights fills seats with sessions that stay, and looks after each of them.
func TestSharesFollowTheWeights(t *testing.T) {
	for _, weights := range [][]int32{{1}, {1, 1, 1}, {1, 2, 3}, {5, 1, 1}, {1, 1000}, {7, 3, 3, 1, 1, 1}} {
		total := int32(0)
		for _, w := range weights {
			total += w
		}
		t.Run(fmt.Sprintf("round-robin/%v", weights), func(t *testing.T) {
			fill(t, RoundRobin, weights, func(t *testing.T, n int, seats []seat) {
				for k, s := range seats {
					if due := float64(n) * float64(s.weight) / float64(total); math.Abs(float64(s.sessions)-due) > 1 {
						t.Fatalf("after %d sessions seat %d has %d, its share is %.2f", n, k, s.sessions, due)
					}
				}
			})
		})
		t.Run(fmt.Sprintf("least-connections/%v", weights), func(t *testing.T) {
			fill(t, LeastConnections, weights, func(t *testing.T, n int, seats []seat) {
				for i, most := range seats {
					for k, other := range seats {
						if most.sessions*other.weight > (other.sessions+1)*most.weight {
							t.Fatalf("after %d sessions seat %d has %d, and %d with %d could relieve it", n, i, most.sessions, k, other.sessions)
						}
					}
				}
				for k, s := range seats {
					if n%int(total) == 0 && s.sessions != int32(n)/total*s.weight {
						t.Fatalf("after %d sessions seat %d has %d, which is not its share", n, k, s.sessions)
					}
				}
			})
		})
	}
}

// fill takes three rounds of seats, and checks after each choice.
func fill(t *testing.T, policy Policy, weights []int32, check func(*testing.T, int, []seat)) {
	r, total := round{seats: benches(weights...)}, 0
	for _, w := range weights {
		total += int(w)
	}
	for n := 1; n <= 3*total; n++ {
		i := policy.pick(&r)
		r.seats[i].sessions++
		r.start = (i + 1) % len(r.seats)
		check(t, n, r.seats)
	}
}

func TestEqualsTakeTurns(t *testing.T) {
	// Sessions that end at once: counts alone would send them all to the same backend.
	r := round{seats: benches(1, 1, 1)}
	taken := make([]int, 3)
	for range 30 {
		i := leastConnections(&r)
		taken[i]++
		r.start = (i + 1) % 3
	}
	if taken[0] != 10 || taken[1] != 10 || taken[2] != 10 {
		t.Errorf("taken %v times, want 10 each", taken)
	}
}

func TestRoundRobinMixesEvenly(t *testing.T) {
	r := round{seats: benches(5, 1, 1)}
	var order string
	for range 14 {
		order += string(rune('a' + roundRobin(&r)))
	}
	if want := "aabacaaaabacaa"; order != want {
		t.Errorf("the order is %s, want %s", order, want)
	}
}

func TestRoundRobinAfterOneComesBack(t *testing.T) {
	r := round{seats: benches(1, 1, 1)}
	for range 10 {
		roundRobin(&r)
	}
	r.seats[1].open = false
	for range 1000 {
		if roundRobin(&r) == 1 {
			t.Fatal("a closed seat is taken")
		}
	}
	r.seats[1].open = true
	taken := make([]int, 3)
	for range 30 {
		taken[roundRobin(&r)]++
	}
	for i, n := range taken {
		if n < 9 || n > 11 {
			t.Errorf("seat %d is taken %d times of 30: being away may neither be made up for nor held against", i, n)
		}
	}
}

func TestSlowStart(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		ramp      time.Duration // before now; -1 for none
		slowStart time.Duration
		want      int64 // of 2560, the share of weight 10
	}{
		"never was away":     {ramp: -1, slowStart: time.Minute, want: 2560},
		"off":                {ramp: 0, slowStart: 0, want: 2560},
		"just back":          {ramp: 0, slowStart: time.Minute, want: 256},
		"a tenth at least":   {ramp: time.Second, slowStart: time.Minute, want: 256},
		"half":               {ramp: 30 * time.Second, slowStart: time.Minute, want: 1279},
		"nearly all":         {ramp: time.Minute - 1, slowStart: time.Minute, want: 2559},
		"over":               {ramp: time.Minute, slowStart: time.Minute, want: 2560},
		"long over":          {ramp: time.Hour, slowStart: time.Minute, want: 2560},
		"a year":             {ramp: longest / 2, slowStart: longest, want: 1279},
		"the clock was back": {ramp: -time.Second, slowStart: time.Minute, want: 256},
	} {
		t.Run(name, func(t *testing.T) {
			s := bench(10)
			if test.ramp != -1 {
				s.ramp = now.Add(-test.ramp)
			}
			if got := s.share(now, test.slowStart); got != test.want {
				t.Errorf("the share is %d, want %d", got, test.want)
			}
		})
	}
	if s := (seat{weight: 1, ramp: now}); s.share(now, time.Minute) != 25 {
		t.Errorf("a weight of 1 begins with %d of 256", s.share(now, time.Minute))
	}
	if s := (seat{weight: maxWeight, ramp: now.Add(-longest / 2)}); s.share(now, longest) < 1 {
		t.Error("the greatest weight over the longest time overflows")
	}
}

func TestSlowStartHoldsBackWhoIsBack(t *testing.T) {
	for _, policy := range []Policy{LeastConnections, RoundRobin} {
		r := round{seats: benches(1, 1), now: time.Now(), slowStart: time.Minute}
		r.seats[0].ramp = r.now
		for range 110 {
			i := policy.pick(&r)
			r.seats[i].sessions++
			r.start = (i + 1) % 2
		}
		if got := r.seats[0].sessions; got < 9 || got > 11 {
			t.Errorf("%s: the one that is back has %d of 110 sessions, want some 10", policy, got)
		}
	}
}

func clientAddress(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i)*2654435761>>8)
	return netip.AddrFrom4(b)
}

func TestSourceHashIsBalancedByWeight(t *testing.T) {
	const clients = 60000
	r := round{seats: benches(1, 2, 3)}
	taken := make([]int, 3)
	for i := range clients {
		r.source = clientAddress(i)
		taken[sourceHash(&r)]++
	}
	for i, n := range taken {
		want := clients * (i + 1) / 6
		if off := math.Abs(float64(n - want)); off > 5*math.Sqrt(float64(want)) {
			t.Errorf("seat %d has %d of %d clients, want some %d", i, n, clients, want)
		}
	}
}

func TestSourceHashMovesOnlyTheLostShare(t *testing.T) {
	seeded := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		weights := make([]int32, 2+seeded.IntN(9))
		for i := range weights {
			weights[i] = 1 + seeded.Int32N(10)
		}
		r := round{seats: benches(weights...)}
		lost := seeded.IntN(len(weights))
		for i := range 1000 {
			r.source = clientAddress(i)
			r.seats[lost].open = true
			before := sourceHash(&r)
			if again := sourceHash(&r); again != before {
				t.Fatalf("%v goes to %d and then to %d", r.source, before, again)
			}
			r.seats[lost].open = false
			if after := sourceHash(&r); before != lost && after != before {
				t.Fatalf("weights %v: seat %d is lost, and %v moves from %d to %d", weights, lost, r.source, before, after)
			}
		}
	}
}

func TestSourceHashDoesNotCareForOrderOrForm(t *testing.T) {
	// Two nodes may have discovered the same backends in another order, and must lead a client alike.
	r := round{seats: benches(1, 2, 3)}
	turned := round{seats: []seat{r.seats[2], r.seats[0], r.seats[1]}}
	for i := range 1000 {
		r.source = clientAddress(i)
		turned.source = netip.AddrFrom16(r.source.As16()) // as an IPv6 socket says it
		if r.seats[sourceHash(&r)].hash != turned.seats[sourceHash(&turned)].hash {
			t.Fatalf("%v goes elsewhere", r.source)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, policy := range []Policy{LeastConnections, RoundRobin, SourceHash} {
		for _, n := range []int{3, 30, 1000} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				weights := make([]int32, n)
				for i := range weights {
					weights[i] = 1 + int32(i%3)
				}
				r := round{seats: benches(weights...), source: clientAddress(1), now: time.Now(), slowStart: 30 * time.Second}
				b.ReportAllocs()
				for b.Loop() {
					i := policy.pick(&r)
					r.seats[i].sessions++
					r.start = (i + 1) % n
				}
			})
		}
	}
}

func TestGrown(t *testing.T) {
	now := time.Now()
	for since, want := range map[time.Duration]float64{0: 0.1, 15 * time.Second: 0.5, 30 * time.Second: 0, time.Hour: 0} {
		s := seat{weight: 4, ramp: now.Add(-since)}
		if got := s.grown(now, 30*time.Second); got < want-0.01 || got > want+0.01 {
			t.Errorf("%v after its return %v of its weight counts, want %v", since, got, want)
		}
	}
	if got := (&seat{weight: 4}).grown(now, 30*time.Second); got != 0 {
		t.Errorf("one that was never away grows: %v", got)
	}
}
