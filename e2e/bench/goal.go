//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
)

// goal is a figure that fairlead has set itself: a bound on its ratio to the peers or, when absolute, on the figure.
type goal struct {
	cases    []string
	figure   metric
	rivals   []string // the best of these; all rivals when empty
	absolute bool
	bound    float64 // of the ratio or the figure: at most, or at least where more is better
}

var goals = []goal{
	{cases: []string{"a-64", "a-512"}, figure: cpuPerOperation, bound: 1},
	{cases: []string{"a-1"}, figure: latency50, bound: 1},
	{cases: []string{"a-1"}, figure: latency99, bound: 1},
	{cases: []string{"b"}, figure: cpuPerOperation, bound: 1},
	{cases: []string{"b"}, figure: operations, bound: 1},
	{cases: []string{"c-1m", "c-64m"}, figure: cpuPerGB, rivals: []string{haproxyAuto}, bound: 0.6},
	{cases: []string{"c-1m", "c-64m"}, figure: cpuPerGB, rivals: []string{haproxyForced}, bound: 0.9},
	{cases: []string{"d"}, figure: memorySettled, absolute: true, bound: 1000},
	{cases: []string{"d"}, figure: descriptorsPerSession, absolute: true, bound: 2},
	{cases: []string{"e-1", "e-16", "e-64"}, figure: operations, bound: 1},
	{cases: []string{"e-1", "e-16", "e-64"}, figure: cpuPerOperation, bound: 1},
}

// verdict is what became of one goal in one case.
type verdict struct {
	Case    string  `json:"case"`
	Figure  metric  `json:"figure"`
	Own     float64 `json:"fairlead"`
	Against string  `json:"against,omitempty"` // the peer that is hardest to beat; empty for an absolute goal
	Theirs  float64 `json:"theirs,omitempty"`
	// Value is the median of the ratios of the single rounds, or the figure itself for an absolute goal. A slow spell of the
	// machine lasts longer than a round and hits both of its sides, but not all rounds alike: so these ratios
	// scatter less than that of the medians.
	Value float64 `json:"value"`
	// Low and High are the ends of the ratios of the single rounds: how far the rounds agree.
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Bound float64 `json:"bound"`
	Met   bool    `json:"met"`
}

// judge holds a goal against one case; false when fairlead or all rivals lack the figure.
func (g goal) judge(c caseResult) (verdict, bool) {
	own, ok := c.peer(ownName)
	value, has := own.Median[g.figure]
	if !ok || !has {
		return verdict{}, false
	}
	v := verdict{Case: c.Key, Figure: g.figure, Own: value, Bound: g.bound, Value: value}
	if g.absolute {
		v.Low, v.High = ends(own.figures(g.figure))
	} else {
		rival, ratios, ok := c.hardest(own, g.figure, g.rivals)
		if !ok {
			return verdict{}, false
		}
		v.Against, v.Theirs, v.Value = rival.Name, rival.Median[g.figure], median(ratios)
		v.Low, v.High = ends(ratios)
	}
	// As printed: two decimals, below which nothing can be told apart.
	rounded := math.Round(v.Value*100) / 100
	v.Met = rounded <= g.bound
	if g.figure.more() {
		v.Met = rounded >= g.bound
	}
	return v, true
}

// figures are those of the single rounds; rounds that lack it are passed over.
func (p peerResult) figures(figure metric) []float64 {
	var all []float64
	for _, m := range p.Rounds {
		if value, ok := m[figure]; ok {
			all = append(all, value)
		}
	}
	return all
}

// ratios divides a figure round by round; rounds that either side lacks are passed over.
func ratios(own, theirs []measurement, figure metric) []float64 {
	var all []float64
	for i, m := range own {
		if value, ok := m[figure]; ok && theirs[i][figure] > 0 {
			all = append(all, value/theirs[i][figure])
		}
	}
	return all
}

// ends are the least and the greatest; 0 of none.
func ends(values []float64) (low, high float64) {
	if len(values) == 0 {
		return 0, 0
	}
	return slices.Min(values), slices.Max(values)
}

// judgeAll holds every goal against every case it is for.
func judgeAll(cases []caseResult) []verdict {
	var verdicts []verdict
	for _, c := range cases {
		for _, g := range goals {
			for _, key := range g.cases {
				if key != c.Key {
					continue
				}
				if v, ok := g.judge(c); ok {
					verdicts = append(verdicts, v)
				}
			}
		}
	}
	return verdicts
}

// relation is how a goal's bound is written.
func (v verdict) relation() string {
	sign := "≤"
	if v.Figure.more() {
		sign = "≥"
	}
	if v.Against == "" {
		return fmt.Sprintf("%s %g", sign, v.Bound)
	}
	return fmt.Sprintf("%s %.1f", sign, v.Bound)
}
