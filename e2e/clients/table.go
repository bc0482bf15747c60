package clients

import (
	"fmt"
	"strings"
)

// Row is a client's row of the table.
type Row struct {
	Name, Version string
	Cells         []string
}

// Table is all rows in Markdown, below the titles of the cells.
func Table(titles []string, rows []Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| client | version | %s |\n|%s\n", strings.Join(titles, " | "), strings.Repeat("---|", len(titles)+2))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Name, r.Version, strings.Join(r.Cells, " | "))
	}
	return b.String()
}

// Between these lines README.md has the table.
const (
	tableBegins = "<!-- make clients writes this table -->\n"
	tableEnds   = "<!-- until here -->\n"
)

// ReplaceTable puts a table in the place of the one in a text.
func ReplaceTable(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, tableBegins)
	_, after, also := strings.Cut(rest, tableEnds)
	if !ok || !also {
		return "", fmt.Errorf("clients: there is no table between %q and %q", tableBegins, tableEnds)
	}
	return before + tableBegins + table + tableEnds + after, nil
}

// Differences are the rows of a table that a text with a table has otherwise, or lacks. Versions may differ: another machine has
// others.
func Differences(text, table string) []string {
	_, rest, _ := strings.Cut(text, tableBegins)
	told, _, _ := strings.Cut(rest, tableEnds)
	known := map[string]bool{}
	for line := range strings.Lines(told) {
		known[withoutVersion(line)] = true
	}
	var differ []string
	for line := range strings.Lines(table) {
		if !known[withoutVersion(line)] {
			differ = append(differ, strings.TrimSpace(line))
		}
	}
	return differ
}

// withoutVersion is a row without its second cell.
func withoutVersion(row string) string {
	cells := strings.Split(strings.TrimSpace(row), "|")
	if len(cells) > 2 {
		cells[2] = ""
	}
	return strings.Join(cells, "|")
}
