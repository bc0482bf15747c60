//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// figureNames are the figures of the goals in the words of README.md.
var figureNames = map[metric]string{
	operations: "a second", latency50: "p50", latency99: "p99", cpuPerOperation: "CPU of each", cpuPerGB: "CPU a GB",
	memorySettled: "memory of each, settled", descriptorsPerSession: "descriptors of each",
}

// writeMarkdown writes the goals and what was reached as README.md has them.
func (r report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	for _, v := range r.Versions {
		fmt.Fprintf(&b, "%s, ", strings.TrimSuffix(v.Version, " - https://haproxy.org/"))
	}
	fmt.Fprintf(&b, "%s; %d rounds of %v:\n\n", r.Machine, r.Settings.Rounds, r.Settings.Duration)
	b.WriteString("| load | figure | fairlead | the peer that is hardest to beat | ratio, round by round | goal | |\n|---|---|---|---|---|---|---|\n")
	for _, v := range r.Goals {
		rival, outcome := "–", "missed"
		if v.Met {
			outcome = "met"
		}
		own := cell(v.Figure, measurement{v.Figure: v.Own})
		ratio := own
		if v.Against != "" {
			rival = v.Against + " " + cell(v.Figure, measurement{v.Figure: v.Theirs})
			ratio = fmt.Sprintf("%.2f (%.2f to %.2f)", v.Value, v.Low, v.High)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.title(v.Case), figureNames[v.Figure], own, rival, ratio, v.relation(), outcome)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r report) title(key string) string {
	for _, c := range r.Cases {
		if c.Key == key {
			return c.Title
		}
	}
	return key
}

// The lines of README.md between which the table stands.
const (
	tableBegins = "<!-- make bench writes this table -->\n"
	tableEnds   = "<!-- until here -->\n"
)

// intoReadme puts the table into a README.
func (r report) intoReadme(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	before, _, after, ok := cutTable(string(text))
	if !ok {
		return fmt.Errorf("bench: %s has no place for the table", path)
	}
	var b strings.Builder
	if err := r.writeMarkdown(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(before+tableBegins+b.String()+tableEnds+after), 0o644); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// cutTable finds the table in a README.
func cutTable(text string) (before, table, after string, ok bool) {
	before, rest, begun := strings.Cut(text, tableBegins)
	table, after, ended := strings.Cut(rest, tableEnds)
	return before, table, after, begun && ended
}
