//go:build linux

package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
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

// The smallest size of each study goes through, with a fairlead of this source tree.
func TestSmallStudies(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	var out, complaints bytes.Buffer
	if status := run([]string{"--most", "100", "--watched", "100ms", "--studies", "choose,backends,lines,sources"}, &out, &complaints); status != 0 {
		t.Errorf("exit status %d: %s\n%s", status, complaints.String(), out.String())
	}
	for _, s := range studies {
		if s.name != "sessions" && !strings.Contains(complaints.String(), s.name+": [1") {
			t.Errorf("%s was not studied: %s", s.name, complaints.String())
		}
	}
	if got := strings.Count(out.String(), "exponent"); got != 4 {
		t.Errorf("%d tables, want 4:\n%s", got, out.String())
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
