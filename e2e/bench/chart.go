//go:build linux

package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// panels are what the chart shows: the costs that a proxy is chosen for, less being better in all of them.
var panels = []struct {
	key, title string
	figure     metric
}{
	{"a-64", "64 connections, 100/200 B: CPU per exchange", cpuPerOperation},
	{"b", "New session: CPU each", cpuPerOperation},
	{"c-1m", "1 MB answers: CPU per GB", cpuPerGB},
	{"c-64m", "64 MB answers: CPU per GB", cpuPerGB},
	{"e-16", "sysbench, 16 threads: CPU per query", cpuPerOperation},
	{"d", "Idle session: resident memory", memorySettled},
}

// Sizes of the chart in pixels, for the width of a README at GitHub.
const (
	chartColumns = 2
	panelWidth   = 414
	panelGap     = 20
	titleHeight  = 30
	rowHeight    = 22
	barHeight    = 14
	nameWidth    = 150
	valueWidth   = 132 // "12.34 µs (1.07×)"
	footHeight   = 44
)

// chartStyle is for renderers that know media queries; the fill attributes, which it overrides, suit a light
// background. The background is left transparent.
const chartStyle = `<style>
text { font-family: -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
@media (prefers-color-scheme: dark) {
  .title { fill: #e6edf3 } .name, .value { fill: #c9d1d9 } .foot { fill: #9198a1 }
  .own { fill: #58a6ff } .peer { fill: #656d76 } .ownname { fill: #79c0ff }
}
</style>
`

// writeChart draws a panel of bars for each of the main figures that was measured.
func (r report) writeChart(w io.Writer) error {
	var body strings.Builder
	drawn, y, tallest := 0, 0, 0
	for _, p := range panels {
		for _, c := range r.Cases {
			if c.Key != p.key || !c.anyHas(p.figure) {
				continue
			}
			column := drawn % chartColumns
			if column == 0 {
				y, tallest = y+tallest, 0
			}
			height := c.drawPanel(&body, column*(panelWidth+panelGap), y, p.title, p.figure)
			tallest = max(tallest, height+panelGap)
			drawn++
		}
	}
	y += tallest
	width := chartColumns*(panelWidth+panelGap) - panelGap
	for i, line := range []string{
		fmt.Sprintf("Less is better. Median of %d round(s); in brackets the ratio to fairlead.", r.Settings.Rounds),
		r.summary(),
	} {
		fmt.Fprintf(&body, `<text class="foot" x="0" y="%d" font-size="11" fill="#59636e">%s</text>`+"\n", y+12+i*16, escaped(line))
	}
	height := y + footHeight
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="What fairlead and its peers cost">
%s%s</svg>
`, width, height, width, height, chartStyle, body.String())
	return err
}

// summary names machine and versions.
func (r report) summary() string {
	parts := []string{r.Machine.CPU, fmt.Sprintf("%d processors", r.Machine.Processors), "Linux " + r.Machine.Kernel}
	seen := map[string]bool{}
	for _, v := range r.Versions {
		if short := shortVersion(v.Version); short != "" && v.Name != ownName && !seen[short] {
			seen[short] = true
			parts = append(parts, short)
		}
	}
	return strings.Join(parts, ", ")
}

func (c caseResult) anyHas(figure metric) bool {
	for _, p := range c.Peers {
		if _, ok := p.Median[figure]; ok {
			return true
		}
	}
	return false
}

// drawPanel draws one figure of one load and gives the panel's height.
func (c caseResult) drawPanel(w io.Writer, x, y int, title string, figure metric) int {
	most := 0.0
	for _, p := range c.Peers {
		most = max(most, p.Median[figure])
	}
	own, _ := c.peer(ownName)
	fmt.Fprintf(w, `<text class="title" x="%d" y="%d" font-size="13" font-weight="600" fill="#1f2328">%s</text>`+"\n",
		x, y+16, escaped(title))
	row := y + titleHeight
	for _, p := range c.Peers {
		value, ok := p.Median[figure]
		if !ok {
			continue
		}
		p.drawBar(w, x, row, figure, value/most, value/own.Median[figure])
		row += rowHeight
	}
	return row - y
}

// drawBar draws one peer's bar. filled is the part of the width that it takes, ratio the peer's to fairlead; a
// ratio that can't be had is Inf or NaN.
func (p peerResult) drawBar(w io.Writer, x, y int, figure metric, filled, ratio float64) {
	bar, name, fill, nameFill, weight := "peer", "name", "#afb8c1", "#424a53", "400"
	text := cell(figure, p.Median)
	if p.Name == ownName {
		bar, name, fill, nameFill, weight = "own", "ownname", "#0969da", "#0969da", "600"
	} else if ratio > 0 && ratio < 1000 {
		text += fmt.Sprintf(" (%.2f×)", ratio)
	}
	const room = panelWidth - nameWidth - valueWidth
	length := max(filled*room, 2)
	fmt.Fprintf(w, `<text class="%s" x="%d" y="%d" font-size="12" font-weight="%s" fill="%s" text-anchor="end">%s</text>`+"\n",
		name, x+nameWidth-8, y+barHeight-3, weight, nameFill, escaped(p.Title))
	fmt.Fprintf(w, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n",
		bar, x+nameWidth, y, length, barHeight, fill)
	fmt.Fprintf(w, `<text class="value" x="%.1f" y="%d" font-size="12" fill="#424a53">%s</text>`+"\n",
		float64(x+nameWidth)+length+6, y+barHeight-3, escaped(text))
}

func escaped(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}
