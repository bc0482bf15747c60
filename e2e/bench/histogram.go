//go:build linux

package main

import (
	"math/bits"
	"time"
)

// subBuckets is the number of equal steps into which each power of two is divided: 128 keep a value's error
// below 0.8 %, less than what two rounds differ by.
const subBuckets = 128

const subBits = 7 // log2 of subBuckets

// histogram counts durations in log-linear buckets: exact below 128 ns, then 128 buckets to each power of two,
// up to the longest Duration. The zero value is empty. It does not allocate, and is not safe for concurrent use.
type histogram struct {
	counts [(64 - subBits) * subBuckets]uint64
	total  uint64
	max    time.Duration
}

// bucketOf gives the bucket of a value; buckets grow with values.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

// bucketMiddle is the value that stands for all values of a bucket.
func bucketMiddle(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i/subBuckets - 1
	low := uint64(i%subBuckets+subBuckets) << shift
	return low + (uint64(1)<<shift)/2
}

// add counts d; a negative one counts as 0.
func (h *histogram) add(d time.Duration) { h.addMany(d, 1) }

func (h *histogram) addMany(d time.Duration, n uint64) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))] += n
	h.total += n
	h.max = max(h.max, d)
}

// merge adds what other has counted.
func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile gives the smallest value that at least q (0 to 1) of all counted values do not exceed, to within
// the width of a bucket; 0 when nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.total)+0.999999), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(bucketMiddle(i)), h.max)
		}
	}
	return h.max
}
