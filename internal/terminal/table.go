package terminal

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Column is one column of a table.
type Column struct {
	Title string
	Right bool // figures
	// Most bounds the width in runes; longer texts are cut, with a mark. 0 means no bound.
	Most int
	// Keep keeps the column although it is empty.
	Keep bool
}

// Cell is one entry. Text is printed as Clean makes it.
type Cell struct {
	Text   string
	Colour Colour
}

// Table has rows of cells below titles. Columns that are empty in all rows are left out, unless told otherwise.
type Table struct {
	columns []Column
	rows    [][]Cell
}

// NewTable returns a table without rows.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Row adds a row; cells that are missing at its end are empty.
func (t *Table) Row(cells ...Cell) {
	row := make([]Cell, len(t.columns))
	copy(row, cells)
	for i := range row {
		row[i].Text = cut(Clean(row[i].Text), t.columns[i].Most)
	}
	t.rows = append(t.rows, row)
}

// Rows counts them.
func (t *Table) Rows() int { return len(t.rows) }

// Write prints the table.
func (t *Table) Write(to io.Writer, s Style) error {
	widths := t.widths()
	var page bytes.Buffer
	titles := make([]Cell, len(t.columns))
	for i, c := range t.columns {
		titles[i] = Cell{strings.ToUpper(c.Title), Faint}
	}
	t.line(&page, s, widths, titles)
	for _, row := range t.rows {
		t.line(&page, s, widths, row)
	}
	_, err := to.Write(page.Bytes())
	return err
}

// widths are those of the columns, 0 for one to be left out.
func (t *Table) widths() []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		for _, row := range t.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].Text))
		}
		if widths[i] > 0 || c.Keep || len(t.rows) == 0 {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.Title))
		}
	}
	return widths
}

const gap = "  "

func (t *Table) line(to *bytes.Buffer, s Style, widths []int, cells []Cell) {
	var text, pending strings.Builder // pending: blanks that only count if something follows
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.Text))
		if t.columns[i].Right {
			pending.WriteString(pad)
			pad = ""
		}
		if cell.Text != "" {
			text.WriteString(pending.String())
			pending.Reset()
			text.WriteString(s.Paint(cell.Colour, cell.Text))
		}
		pending.WriteString(pad)
		pending.WriteString(gap)
	}
	to.WriteString(text.String())
	to.WriteByte('\n')
}

// cut shortens text to most runes; 0 leaves it alone.
func cut(text string, most int) string {
	if most <= 0 || utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
