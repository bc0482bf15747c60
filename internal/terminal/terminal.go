// Package terminal prints tables, colours and short figures for people.
//
//	t := terminal.NewTable(terminal.Column{Title: "backend"}, terminal.Column{Title: "sessions", Right: true})
//	t.Row(terminal.Cell{Text: "10.0.0.1:9030"}, terminal.Cell{Text: "12"})
//	t.Write(os.Stdout, terminal.StyleOf(os.Stdout))
package terminal

import (
	"fmt"
	"os"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Colour is one of those that every terminal has (ECMA-48, SGR). The zero Colour is the terminal's own.
type Colour string

const (
	Plain  Colour = ""
	Bold   Colour = "1"
	Faint  Colour = "2"
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Cyan   Colour = "36"
)

// Style says whether colours are used. The zero Style uses none.
type Style struct{ colours bool }

// StyleOf uses colours if f is a terminal, unless NO_COLOR (no-color.org) or TERM=dumb say otherwise.
func StyleOf(f *os.File) Style {
	return Style{IsTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Coloured is the Style that uses colours.
func Coloured() Style { return Style{true} }

// Paint gives text a colour.
func (s Style) Paint(c Colour, text string) string {
	if !s.colours || c == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// IsTerminal tells whether a person is looking at f.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// Rows is how many lines the terminal f has now; 0 when it is none, or does not tell.
func Rows(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}

// Clean makes text that others have chosen safe to print: what is not printable, escape sequences above all, is spelt
// out.
func Clean(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) < 0 {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(text[i:], string(unicode.ReplacementChar)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			q := fmt.Sprintf("%+q", r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
