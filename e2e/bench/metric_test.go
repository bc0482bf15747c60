//go:build linux

package main

import (
	"maps"
	"math"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}

func TestMedianLeavesValuesInPlace(t *testing.T) {
	values := []float64{3, 1, 2}
	median(values)
	if values[0] != 3 || values[1] != 1 {
		t.Errorf("sorted in place: %v", values)
	}
}

func TestMediansTakeWhatRunsHave(t *testing.T) {
	got := medians([]measurement{{operations: 10, latency50: 1}, nil, {operations: 30}, {operations: 20}})
	if want := (measurement{operations: 20, latency50: 1}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestLatenciesAreMicroseconds(t *testing.T) {
	h := new(histogram)
	for range 100 {
		h.add(50 * time.Microsecond)
	}
	m := measurement{}
	m.latencies(h)
	if v := m[latency99]; math.Abs(v-50) > 0.5 {
		t.Errorf("%v, want about 50", v)
	}
	m = measurement{}
	m.latencies(new(histogram))
	if len(m) != 0 {
		t.Errorf("of nothing: %v", m)
	}
}
