package splice

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// The heap does at every step what a sorted slice does.
func TestDeadlinesAgainstASortedSlice(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var heap deadlines
	var model []deadline
	sessions := make([]*session, 50)
	for i := range sessions {
		sessions[i] = &session{}
	}
	of := func(s *session) int { return slices.IndexFunc(model, func(d deadline) bool { return d.s == s }) }
	for step := range 20_000 {
		s, when := sessions[random.IntN(len(sessions))], random.Int64N(1000)
		if random.IntN(8) == 0 {
			when = never
		}
		switch i := of(s); random.IntN(4) {
		case 0, 1: // a later time does not replace an earlier one, and never is no deadline
			heap.set(s, when)
			if i < 0 && when != never {
				model = append(model, deadline{when, s})
			} else if i >= 0 && when < model[i].when {
				model[i].when = when
			}
		case 2:
			heap.remove(s)
			if i >= 0 {
				model = slices.Delete(model, i, i+1)
			}
		case 3:
			if len(heap) == 0 {
				continue
			}
			first := of(heap[0].s)
			heap.postpone(when)
			if model[first].when = when; when == never {
				model = slices.Delete(model, first, first+1)
			}
		}
		slices.SortFunc(model, func(a, b deadline) int { return cmp.Compare(a.when, b.when) })
		if len(heap) != len(model) || len(heap) > 0 && heap[0].when != model[0].when {
			t.Fatalf("step %d: the heap is %v, the slice %v", step, heap, model)
		}
		for i, entry := range heap {
			if int(entry.s.timer) != i+1 {
				t.Fatalf("step %d: the session at %d believes that it is at %d", step, i, entry.s.timer-1)
			}
			if m := of(entry.s); m < 0 || model[m].when != entry.when {
				t.Fatalf("step %d: a session's deadline is not %d", step, entry.when)
			}
			if parent := (i - 1) / 2; i > 0 && heap[parent].when > entry.when {
				t.Fatalf("step %d: the entry at %d is before its parent", step, i)
			}
		}
		for _, s := range sessions {
			if s.timer == 0 && of(s) >= 0 {
				t.Fatalf("step %d: a session's deadline is lost", step)
			}
		}
	}
}
