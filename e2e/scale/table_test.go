//go:build linux

package main

import (
	"bytes"
	"maps"
	"math"
	"strings"
	"testing"
	"time"
)

func TestExponent(t *testing.T) {
	for name, test := range map[string]struct {
		values []float64
		want   float64
	}{
		"constant":    {[]float64{5, 5, 5}, 0},
		"linear":      {[]float64{2, 20, 200}, 1},
		"square":      {[]float64{1, 100, 10_000}, 2},
		"square root": {[]float64{1, math.Sqrt(10), 10}, 0.5},
	} {
		f := figure{sizes: []int{10, 100, 1000}, values: test.values}
		if got := f.exponent(); math.Abs(got-test.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if got := (figure{sizes: []int{10}, values: []float64{1}}).exponent(); !math.IsNaN(got) {
		t.Errorf("of one size: %v", got)
	}
}

func TestFaults(t *testing.T) {
	sizes := []int{10, 100, 1000}
	for name, test := range map[string]struct {
		figure figure
		want   string
	}{
		"linear":    {figure{values: []float64{1, 10, 100}}, ""},
		"square":    {figure{values: []float64{1, 100, 10_000}}, "worse than linear"},
		"goal met":  {figure{values: []float64{3, 3, 2}, goal: 2}, ""},
		"above it":  {figure{values: []float64{1, 1, 2.1}, goal: 2}, "2.10 µs with 1000 backends, more than 2.00"},
		"one size":  {figure{values: []float64{1}}, ""},
		"no values": {figure{goal: 2}, ""},
	} {
		f := test.figure
		f.study, f.grows, f.name, f.unit, f.sizes = "choose", "backends", "least-connections", "µs", sizes[:len(f.values)]
		switch got := strings.Join(f.faults(), "; "); {
		case test.want == "" && got != "":
			t.Errorf("%s: %s", name, got)
		case !strings.Contains(got, test.want):
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	faults := write(&b, []figure{
		{study: "choose", grows: "backends", name: "least-connections", unit: "µs", sizes: []int{10, 1000}, values: []float64{0.1234, 1.2345}},
		{study: "sessions", grows: "sessions", name: "memory", unit: "KB each", sizes: []int{1000, 16_000}, values: []float64{0, 12_345.6}},
	})
	for _, want := range []string{"backends", "1,000", "0.123", "1.23", "0.50", "12,346", "KB each", "worse than linear"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if len(faults) != 1 {
		t.Errorf("faults: %q", faults)
	}
}

// The smallest size of each study goes through, with a fairlead of this source tree. What it costs is not for a test to judge.
func TestSmallStudies(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	var progress bytes.Buffer
	figures, err := measure([]string{"choose", "backends", "lines", "sources"}, 100, "", 100*time.Millisecond, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	of := map[string]int{}
	for _, f := range figures {
		of[f.study]++
		if len(f.values) != len(f.sizes) || len(f.values) == 0 {
			t.Errorf("%s, %s: %v at %v", f.study, f.name, f.values, f.sizes)
		}
	}
	if want := map[string]int{"choose": 3, "backends": 6, "lines": 2, "sources": 2}; !maps.Equal(of, want) {
		t.Errorf("figures of each study: %v, want %v", of, want)
	}
}

func TestUsage(t *testing.T) {
	for want, arguments := range map[int][]string{
		0: {"--help"},
		1: {"--studies", "planets"},
		2: {"--mist", "1"},
	} {
		var out, complaints bytes.Buffer
		if got := run(arguments, &out, &complaints); got != want {
			t.Errorf("%v: exit status %d, want %d", arguments, got, want)
		}
		if complaints.Len() == 0 {
			t.Errorf("%v: not a word", arguments)
		}
	}
}
