//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
)

// figure is one thing that was measured at several sizes.
type figure struct {
	study, grows, name, unit string

	sizes  []int
	values []float64
	// goal bounds the value at the greatest size; 0 means that there is none.
	goal float64
}

// steepest is the exponent from which on growth counts as worse than linear. Caches that are outgrown and a machine that has
// other work bend a line by about so much.
const steepest = 1.2

// exponent is the e of the size^e that fits best: the slope of the least squares line through the logarithms. It is NaN
// for fewer than two sizes. Values of 0 are taken as the least that is told apart.
func (f figure) exponent() float64 {
	var n, sx, sy, sxx, sxy float64
	for i, value := range f.values {
		x, y := math.Log(float64(f.sizes[i])), math.Log(max(value, 1e-3))
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	if n < 2 {
		return math.NaN()
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// faults tells what is wrong with a figure.
func (f figure) faults() []string {
	var all []string
	name := f.study + ": " + f.name
	if e := f.exponent(); e > steepest {
		all = append(all, fmt.Sprintf("%s grows like %s^%.2f: worse than linear", name, f.grows, e))
	}
	if last := len(f.values) - 1; f.goal > 0 && last >= 0 && f.values[last] > f.goal {
		all = append(all, fmt.Sprintf("%s: %s %s with %d %s, more than %s", name, digits(f.values[last]), f.unit, f.sizes[last], f.grows,
			digits(f.goal)))
	}
	return all
}

// write prints a table for each study, and what is wrong.
func write(w io.Writer, figures []figure) (faults []string) {
	for from := 0; from < len(figures); {
		to := from
		for to < len(figures) && figures[to].study == figures[from].study {
			to++
		}
		writeStudy(w, figures[from:to])
		from = to
	}
	for _, f := range figures {
		faults = append(faults, f.faults()...)
	}
	for _, fault := range faults {
		fmt.Fprintln(w, fault)
	}
	return faults
}

func writeStudy(w io.Writer, figures []figure) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "%s\t", figures[0].grows)
	for _, size := range figures[0].sizes {
		fmt.Fprintf(t, "%s\t", thousands(size))
	}
	fmt.Fprintln(t, "unit\texponent\t")
	for _, f := range figures {
		fmt.Fprintf(t, "%s\t", f.name)
		for _, value := range f.values {
			fmt.Fprintf(t, "%s\t", digits(value))
		}
		fmt.Fprintf(t, "%s\t%.2f\t\n", f.unit, f.exponent())
	}
	t.Flush()
	fmt.Fprintln(w)
}

// digits prints three of them.
func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return thousands(int(math.Round(v)))
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(v))))
	return strconv.FormatFloat(v, 'f', min(decimals, 4), 64)
}

// thousands puts commas between groups of three digits.
func thousands(n int) string {
	text := strconv.Itoa(n)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}
