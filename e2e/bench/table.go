//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// cell prints one figure with its unit, or a dash.
func cell(figure metric, m measurement) string {
	v, ok := m[figure]
	if !ok {
		return "–"
	}
	switch figure {
	case operations:
		return thousands(v)
	case latency50, latency99, latency999:
		if v >= 10_000 {
			return fmt.Sprintf("%.1f ms", v/1000)
		}
		return fmt.Sprintf("%.0f µs", v)
	case cpuPerOperation:
		return fmt.Sprintf("%.2f µs", v)
	case cpuPerGB:
		return fmt.Sprintf("%.3f s/GB", v)
	case memoryAtOnce, memorySettled:
		return thousands(v) + " B"
	}
	return fmt.Sprintf("%.2f", v)
}

// thousands prints a rate with three figures at least and commas between thousands.
func thousands(v float64) string {
	if v < 100 && v > -100 {
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return sign + b.String()
}

// cpuMetric is the figure of processor time that a case has.
func cpuMetric(c loadCase) metric {
	if c.Load == "c" {
		return cpuPerGB
	}
	return cpuPerOperation
}

// columns are the figures of the table. Processor time has one column for both of its figures.
var columns = []struct {
	head    string
	figures []metric
}{
	{"per second", []metric{operations}},
	{"p50", []metric{latency50}},
	{"p99", []metric{latency99}},
	{"p99.9", []metric{latency999}},
	{"CPU", []metric{cpuPerOperation, cpuPerGB}},
	{"RSS/session", []metric{memoryAtOnce}},
	{"settled", []metric{memorySettled}},
	{"descriptors", []metric{descriptorsPerSession}},
}

// figureOf picks the figure of a column that a measurement has.
func figureOf(figures []metric, m measurement) metric {
	for _, figure := range figures {
		if _, ok := m[figure]; ok {
			return figure
		}
	}
	return figures[0]
}

// writeTable prints the medians, under each load the ratios of fairlead to the best of the rivals, and then what
// became of the goals.
func (r report) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", r.Machine)
	for _, v := range r.Versions {
		fmt.Fprintf(w, "%s: %s\n", v.Name, v.Version)
	}
	fmt.Fprintf(w, "median of %d round(s) of %v\n\n", r.Settings.Rounds, r.Settings.Duration)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "load\tpeer")
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.head)
	}
	fmt.Fprintln(t)
	for _, c := range r.Cases {
		c.writeRows(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := r.writeGoals(w); err != nil {
		return err
	}
	for _, c := range r.Cases {
		for _, p := range c.Peers {
			for _, text := range p.Errors {
				fmt.Fprintf(w, "failed: %s, %s: %s\n", c.Title, p.Name, text)
			}
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	return nil
}

func (c caseResult) writeRows(t io.Writer) {
	title := c.Title
	for _, p := range c.Peers {
		fmt.Fprintf(t, "%s\t%s", title, p.Name)
		for _, column := range columns {
			fmt.Fprintf(t, "\t%s", cell(figureOf(column.figures, p.Median), p.Median))
		}
		fmt.Fprintln(t)
		title = ""
	}
	c.writeRatios(t, "the best", nil)
	if c.Load == "c" {
		c.writeRatios(t, haproxyAuto, []string{haproxyAuto})
		c.writeRatios(t, haproxyForced, []string{haproxyForced})
	}
}

// writeRatios prints the ratios of fairlead's medians to the best of the rivals named, column by column.
func (c caseResult) writeRatios(t io.Writer, name string, rivals []string) {
	own, ok := c.peer(ownName)
	if !ok {
		return
	}
	fmt.Fprintf(t, "\tfairlead / %s", name)
	for _, column := range columns {
		figure := figureOf(column.figures, own.Median)
		ratio := "–"
		if best, ok := c.best(figure, rivals); ok && own.Median[figure] != 0 {
			ratio = fmt.Sprintf("%.2f", own.Median[figure]/best.Median[figure])
		}
		fmt.Fprintf(t, "\t%s", ratio)
	}
	fmt.Fprintln(t)
}

// writeGoals prints each goal beside what was reached.
func (r report) writeGoals(w io.Writer) error {
	if len(r.Goals) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "load\tfigure\tfairlead\tagainst\ttheirs\treached\trounds\tgoal\t")
	for _, v := range r.Goals {
		against, theirs := "–", "–"
		if v.Against != "" {
			against, theirs = v.Against, cell(v.Figure, measurement{v.Figure: v.Theirs})
		}
		outcome := "not met"
		if v.Met {
			outcome = "met"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%.2f\t%.2f…%.2f\t%s\t%s\n", v.Case, v.Figure,
			cell(v.Figure, measurement{v.Figure: v.Own}), against, theirs, v.Value, v.Low, v.High, v.relation(), outcome)
	}
	return t.Flush()
}
