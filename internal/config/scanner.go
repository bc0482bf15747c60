package config

import (
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// Bounds on what a file may hold. They keep the recursion of both parsers shallow and their time linear; no real
// configuration comes near them.
const (
	maxSize  = 1 << 20 // bytes: some 15,000 backends
	maxDepth = 32      // arrays and inline tables in each other
	maxParts = 16      // of a dotted key
)

// scanner walks over TOML text and notes where things are. It checks nothing: the text has been accepted by the TOML
// library, or its error is what the user sees. On any text it ends, and moves forward with each step.
type scanner struct {
	text   string
	at     int
	starts lineStarts
	// excess is the first thing beyond the bounds.
	excess *Problem
	// repeated are keys given twice in ways that the TOML library lets pass.
	repeated []repetition
}

// repetition is a key that already had a value.
type repetition struct {
	key         string
	line, first int
}

// locate returns the positions of all keys in text. The error of the scan is a Problem without a file name: something
// beyond the bounds.
func locate(text string) (*position, []repetition, *Problem) {
	s := &scanner{text: text, starts: startsOf(text)}
	for _, bom := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} { // those that the library skips
		if s.take(bom) {
			break
		}
	}
	root := &position{line: 1}
	table := root
	for s.blank(); !s.done(); s.blank() {
		line := s.line()
		switch {
		case s.take("[["):
			array := root.descend(s.key(), line)
			table = &position{line: line}
			array.elements = append(array.elements, table)
		case s.take("["):
			table = root.descend(s.key(), line)
			table.line = line // a table inside it may have come first
		default:
			s.pair(table, 0)
		}
		s.restOfLine()
	}
	return root, s.repeated, s.excess
}

func (s *scanner) done() bool { return s.at >= len(s.text) }
func (s *scanner) line() int  { return s.starts.line(s.at) }

// take steps over a prefix of what is left, if it is there.
func (s *scanner) take(prefix string) bool {
	if !strings.HasPrefix(s.text[s.at:], prefix) {
		return false
	}
	s.at += len(prefix)
	return true
}

// space steps over spaces and tabs.
func (s *scanner) space() {
	for !s.done() && (s.text[s.at] == ' ' || s.text[s.at] == '\t') {
		s.at++
	}
}

// blank steps over white space, ends of lines and comments.
func (s *scanner) blank() {
	for !s.done() {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		case '#':
			s.restOfLine()
		default:
			return
		}
	}
}

// restOfLine steps over all up to and with the end of the line.
func (s *scanner) restOfLine() {
	if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
		s.at += n + 1
	} else {
		s.at = len(s.text)
	}
}

// stop ends the scan at something beyond the bounds.
func (s *scanner) stop(message string) {
	if s.excess == nil {
		s.excess = &Problem{Line: s.line(), Message: message}
	}
	s.at = len(s.text)
}

// pair reads "key = value" into table.
func (s *scanner) pair(table *position, depth int) {
	line := s.line()
	parts := s.key()
	s.space()
	if !s.take("=") {
		return
	}
	p := table.descend(parts, line)
	if p.assigned || len(p.keys) > 0 {
		s.repeated = append(s.repeated, repetition{key: strings.Join(parts, "."), line: line, first: p.line})
	}
	p.assigned = true
	s.space()
	s.value(p, depth)
}

// key reads a dotted key. Its parts may be empty where the text is no TOML.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.space()
		parts = append(parts, s.part())
		s.space()
		if !s.take(".") {
			return parts
		}
		if len(parts) == maxParts {
			s.stop(fmt.Sprintf("a key has more than %d parts", maxParts))
			return parts
		}
	}
}

// part reads one part of a key: bare or quoted.
func (s *scanner) part() string {
	start := s.at
	switch {
	case s.take(`"`):
		s.quoted('"')
		return unquote(s.text[start:s.at])
	case s.take(`'`):
		s.quoted('\'')
		return strings.Trim(s.text[start:s.at], "'")
	}
	if n := strings.IndexAny(s.text[s.at:], " \t\r\n.=[]{},#\"'"); n >= 0 {
		s.at += n
	} else {
		s.at = len(s.text)
	}
	return s.text[start:s.at]
}

// unquote leaves escapes to the TOML library.
func unquote(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return strings.Trim(quoted, `"`)
	}
	var holder struct{ Key string }
	if _, err := toml.Decode("Key = "+quoted, &holder); err != nil {
		return quoted
	}
	return holder.Key
}

// quoted steps over a string of one line, whose opening quote has been taken.
func (s *scanner) quoted(quote byte) {
	for !s.done() {
		c := s.text[s.at]
		if c == '\n' {
			return
		}
		s.at++
		if c == quote {
			return
		}
		if c == '\\' && quote == '"' && !s.done() {
			s.at++
		}
	}
}

// multiline steps over a string whose three opening quotes have been taken.
func (s *scanner) multiline(quotes string) {
	for !s.done() {
		if s.take(quotes) {
			for range 2 { // so many quotes of the string itself may stand before the closing three
				s.take(quotes[:1])
			}
			return
		}
		if s.text[s.at] == '\\' && quotes[0] == '"' {
			s.at++
		}
		s.at = min(s.at+1, len(s.text))
	}
}

// value steps over a value and notes what lies inside it.
func (s *scanner) value(p *position, depth int) {
	if depth > maxDepth {
		s.stop(fmt.Sprintf("arrays or tables are more than %d deep in each other", maxDepth))
		return
	}
	switch {
	case s.take(`"""`):
		s.multiline(`"""`)
	case s.take(`'''`):
		s.multiline(`'''`)
	case s.take(`"`):
		s.quoted('"')
	case s.take(`'`):
		s.quoted('\'')
	case s.take("["):
		s.items("]", func() {
			e := &position{line: s.line()}
			p.elements = append(p.elements, e)
			s.value(e, depth+1)
		})
	case s.take("{"):
		s.items("}", func() { s.pair(p, depth+1) })
	default: // a number, a date, true or false
		if n := strings.IndexAny(s.text[s.at:], ",]}#\r\n"); n >= 0 {
			s.at += n
		} else {
			s.at = len(s.text)
		}
	}
}

// items reads what stands between commas up to the closing bracket.
func (s *scanner) items(closing string, item func()) {
	for s.blank(); !s.done() && !s.take(closing); s.blank() {
		start := s.at
		item()
		s.blank()
		s.take(",")
		if s.at == start {
			s.at++ // no TOML, but the scan must go on
		}
	}
}
