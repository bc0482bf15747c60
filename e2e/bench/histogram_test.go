//go:build linux

package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsCoverAllValuesInOrder(t *testing.T) {
	h := new(histogram)
	if last := bucketOf(math.MaxInt64); last >= len(h.counts) {
		t.Fatalf("the longest duration has bucket %d of %d", last, len(h.counts))
	}
	previous := -1
	for i := range uint64(1 << 14) {
		b := bucketOf(i)
		if b != previous && b != previous+1 {
			t.Fatalf("%d has bucket %d after %d", i, b, previous)
		}
		previous = b
	}
	for shift := range 63 {
		v := uint64(1) << shift
		if a, b := bucketOf(v-1), bucketOf(v); b < a || b > a+1 {
			t.Errorf("buckets %d and %d on both sides of 1<<%d", a, b, shift)
		}
	}
}

func TestBucketMiddleIsNear(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		v := random.Uint64() >> (1 + random.IntN(62))
		middle := float64(bucketMiddle(bucketOf(v)))
		if off := math.Abs(middle - float64(v)); off > float64(v)/subBuckets {
			t.Fatalf("%v stands for %d: off by %v", middle, v, off)
		}
	}
}

func TestQuantilesMatchSortedValues(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	h := new(histogram)
	var values []time.Duration
	for range 50_000 {
		d := time.Duration(math.Exp(random.NormFloat64()*2 + 10))
		values = append(values, d)
		h.add(d)
	}
	slices.Sort(values)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := values[max(int(math.Ceil(q*float64(len(values))))-1, 0)]
		got := h.quantile(q)
		if off := math.Abs(float64(got - want)); off > float64(want)/subBuckets+1 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

func TestQuantileEdges(t *testing.T) {
	h := new(histogram)
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	h.add(-time.Second)
	if got := h.quantile(1); got != 0 {
		t.Errorf("of a negative duration: %v", got)
	}
	h = new(histogram)
	h.add(1_000_003)
	if got := h.quantile(0.99); got > 1_000_003 {
		t.Errorf("of a single value: %v, more than the longest", got)
	}
}

func TestMergeIsAddingAll(t *testing.T) {
	a, b, all := new(histogram), new(histogram), new(histogram)
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.add(d)
		if i%3 == 0 {
			a.add(d)
		} else {
			b.add(d)
		}
	}
	a.merge(b)
	if *a != *all {
		t.Error("merged halves differ from the whole")
	}
}

func TestAddDoesNotAllocate(t *testing.T) {
	h := new(histogram)
	if n := testing.AllocsPerRun(100, func() { h.add(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
