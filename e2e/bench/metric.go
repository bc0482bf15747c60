//go:build linux

package main

import (
	"math"
	"slices"
	"time"
)

// metric is the key of one figure in the JSON report.
type metric string

// The figures. A load that does not give one leaves it out.
const (
	operations      metric = "operations_per_second"
	throughput      metric = "gb_per_second" // 1 GB is 10⁹ bytes of answers
	latency50       metric = "p50_us"
	latency99       metric = "p99_us"
	latency999      metric = "p99_9_us"
	cpuPerOperation metric = "cpu_us_per_operation"
	cpuPerGB        metric = "cpu_s_per_gb"
	// memoryAtOnce and memorySettled are how much the resident memory of all processes of the proxy has
	// grown since before the first session, divided by the sessions: with all sessions open, and again
	// after the pause of load d.
	memoryAtOnce  metric = "rss_bytes_per_session"
	memorySettled metric = "rss_bytes_per_session_settled"
	// descriptorsPerSession is the growth of the open descriptors, divided by the sessions.
	descriptorsPerSession metric = "descriptors_per_session"
	sessionsHeld          metric = "sessions"
	// failures counts sessions of load b and d that broke before their answer.
	failures metric = "failures"
)

// more tells of which figures more is better; of all others less is.
func (m metric) more() bool { return m == operations || m == throughput || m == sessionsHeld }

// measurement is what one run of one load over one proxy gave.
type measurement map[metric]float64

// latencies stores the quantiles of h in microseconds.
func (m measurement) latencies(h *histogram) {
	if h.total == 0 {
		return
	}
	micros := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	m[latency50] = micros(h.quantile(0.50))
	m[latency99] = micros(h.quantile(0.99))
	m[latency999] = micros(h.quantile(0.999))
}

// fewestForMemory is from how many sessions on memory is divided by them: below, what a proxy allocates once
// for all is most of it.
const fewestForMemory = 64

// dropNoise takes the memory of too few sessions out.
func (m measurement) dropNoise(sessions int) {
	if sessions < fewestForMemory {
		delete(m, memoryAtOnce)
	}
}

// median is the middle of the values, or the mean of the two in the middle; NaN without any.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// medians takes the median of every figure over the runs that have it.
func medians(runs []measurement) measurement {
	values := map[metric][]float64{}
	for _, run := range runs {
		for name, v := range run {
			values[name] = append(values[name], v)
		}
	}
	result := measurement{}
	for name, v := range values {
		result[name] = median(v)
	}
	return result
}
