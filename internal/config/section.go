package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead/internal/spelling"
)

// section is one table of the file. Each key is asked for once, with its default; what is never asked for is unknown.
type section struct {
	doc *document
	// header is how the section is written: "[pool.probe]", "[[pool]]", or "" for the top of the file.
	header string
	// dotted is the header without brackets; path also has the indices: "pool[0].probe".
	dotted, path string
	at           *position
	values       map[string]any
}

// open starts to read a table. Keys that nobody will ask for are reported now.
func (d *document) open(header, dotted, path string, values map[string]any, at *position) *section {
	s := &section{doc: d, header: header, dotted: dotted, path: path, at: at, values: values}
	if d.recorded == nil {
		s.rejectUnknown()
	}
	return s
}

// child is the path of a key of this section.
func (s *section) child(key string) string {
	if s.path == "" {
		return key
	}
	return s.path + "." + key
}

// has tells whether the file gives key a value.
func (s *section) has(key string) bool {
	_, ok := s.values[key]
	return ok
}

// problem reports a fault of a key.
func (s *section) problem(key, message, suggestion string) {
	s.doc.problem(s.child(key), message, suggestion)
}

// value returns what the file gives key, and notes key in the schema.
func (s *section) value(key string, byDefault any) (any, bool) {
	if s.doc.recorded != nil {
		s.doc.recorded.add(s.header, key, literal(byDefault))
	}
	v, ok := s.values[key]
	if _, isTable := byDefault.(tableHeader); !isTable {
		s.note(key, v, byDefault)
	}
	return v, ok
}

// text reads a string.
func (s *section) text(key, byDefault string) string {
	v, ok := s.value(key, byDefault)
	if !ok {
		return byDefault
	}
	text, ok := v.(string)
	if !ok {
		s.wrong(key, "text in quotes", v, quotedNumber(v))
		return byDefault
	}
	return text
}

// quotedNumber suggests how a plain value looks as a string.
func quotedNumber(v any) string {
	switch v.(type) {
	case int64, float64, bool:
		return fmt.Sprintf("write %q", fmt.Sprint(v))
	}
	return `write such as "text"`
}

// choice reads a string that is one of several words, or as byDefault.
func (s *section) choice(key, byDefault string, known ...string) string {
	text := s.text(key, byDefault)
	if text == byDefault || slices.Contains(known, text) {
		return text
	}
	suggestion := "known: " + strings.Join(known, ", ")
	if near := spelling.Nearest(text, known); near != "" {
		suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	s.problem(key, fmt.Sprintf("unknown %s %q", key, text), suggestion)
	return byDefault
}

// number reads a whole number.
func (s *section) number(key string, byDefault int) int {
	v, ok := s.value(key, byDefault)
	if !ok {
		return byDefault
	}
	switch n := v.(type) {
	case int64:
		if n == int64(int(n)) {
			return int(n)
		}
		s.problem(key, fmt.Sprintf("%s is out of range: %d", key, n), "")
	case float64:
		s.wrong(key, "a whole number", v, fmt.Sprintf("write %.0f", math.Round(n)))
	case string:
		suggestion := fmt.Sprintf("write such as %d", byDefault)
		if n, ok := plainNumber(n); ok {
			suggestion = fmt.Sprintf("write %d without quotes", n)
		}
		s.wrong(key, "a whole number", v, suggestion)
	default:
		s.wrong(key, "a whole number", v, fmt.Sprintf("write such as %d", byDefault))
	}
	return byDefault
}

// plainNumber reads numbers as people write them: with a size's unit, such as 256k.
func plainNumber(text string) (int64, bool) {
	text = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), "_", ""))
	unit := int64(1)
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"kib", 1 << 10}, {"kb", 1 << 10}, {"k", 1 << 10}, {"mib", 1 << 20}, {"mb", 1 << 20}, {"m", 1 << 20}} {
		if rest, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 40)
	return n * unit, err == nil
}

// flag reads true or false.
func (s *section) flag(key string, byDefault bool) bool {
	v, ok := s.value(key, byDefault)
	if !ok {
		return byDefault
	}
	flag, ok := v.(bool)
	if !ok {
		suggestion := "write true or false"
		switch strings.ToLower(fmt.Sprint(v)) {
		case "true", "yes", "on", "1":
			suggestion = "write true without quotes"
		case "false", "no", "off", "0":
			suggestion = "write false without quotes"
		}
		s.wrong(key, "true or false", v, suggestion)
		return byDefault
	}
	return flag
}

// duration reads a time span such as "2s".
func (s *section) duration(key string, byDefault time.Duration) time.Duration {
	v, ok := s.value(key, byDefault)
	if !ok {
		return byDefault
	}
	text, ok := v.(string)
	if !ok {
		s.wrong(key, "a duration in quotes", v, suggestDuration(fmt.Sprint(v), byDefault))
		return byDefault
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.problem(key, fmt.Sprintf("%s is no duration: %q", key, text), suggestDuration(text, byDefault))
		return byDefault
	}
	return d
}

// Bounds of the durations that are checked here; balancer has the same for its own.
const (
	shortest = time.Millisecond
	longest  = 365 * 24 * time.Hour
)

// between checks the range of a duration.
func (s *section) between(key string, d, low, high time.Duration) {
	switch {
	case d < 0:
		s.problem(key, fmt.Sprintf("%s must not be negative, it is %s", key, plain(d)), "")
	case d < low:
		s.problem(key, fmt.Sprintf("%s must be at least %s, not %s", key, plain(low), plain(d)), "")
	case d > high:
		s.problem(key, fmt.Sprintf("%s must be at most %s, not %s", key, plain(high), plain(d)), "")
	}
}

// element is one string of a list.
type element struct {
	text string
	line int
}

// texts reads a string or a list of strings. An empty string alone is an empty list.
func (s *section) texts(key string, byDefault any) []element {
	v, ok := s.value(key, byDefault)
	if !ok {
		return nil
	}
	at := s.at.key(key)
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil
		}
		return []element{{v, at.line}}
	case []any:
		list := make([]element, 0, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok {
				s.problem(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%s must be text or a list of texts, and holds %s", key, describe(e)), quotedNumber(e))
				continue
			}
			list = append(list, element{text, at.element(i).line})
		}
		return list
	}
	s.wrong(key, "text in quotes or a list of texts", v, quotedNumber(v))
	return nil
}

// table reads a table; one that is left out is empty.
func (s *section) table(key string) *section {
	dotted := strings.TrimPrefix(s.dotted+"."+key, ".")
	header := "[" + dotted + "]"
	v, _ := s.value(key, tableHeader(header))
	switch v := v.(type) {
	case nil:
	case map[string]any:
		return s.doc.open(header, dotted, s.child(key), v, s.at.key(key))
	case []map[string]any:
		s.problem(key, "[["+dotted+"]] is one table, not several", "write "+header)
		if len(v) > 0 {
			return s.doc.open(header, dotted, s.child(key)+"[0]", v[0], s.at.key(key).element(0))
		}
	default:
		s.wrong(key, "a table", v, "write "+header+" and its keys below it")
	}
	return s.doc.open(header, dotted, s.child(key), nil, s.at.key(key))
}

// tables reads an array of tables.
func (s *section) tables(key string) []*section {
	dotted := strings.TrimPrefix(s.dotted+"."+key, ".")
	header := "[[" + dotted + "]]"
	v, _ := s.value(key, tableHeader(header))
	var list []map[string]any
	switch v := v.(type) {
	case nil:
	case []map[string]any:
		list = v
	case map[string]any:
		s.problem(key, "["+dotted+"] can be given several times, so it is written with two brackets", "write "+header)
		list = []map[string]any{v}
	case []any: // an array in one line
		for _, e := range v {
			t, ok := e.(map[string]any)
			if !ok {
				s.wrong(key, "a list of tables", e, "write "+header+" for each")
				return nil
			}
			list = append(list, t)
		}
	default:
		s.wrong(key, "a list of tables", v, "write "+header+" and its keys below it")
	}
	sections := make([]*section, len(list))
	for i, values := range list {
		sections[i] = s.doc.open(header, dotted, fmt.Sprintf("%s[%d]", s.child(key), i), values, s.at.key(key).element(i))
	}
	return sections
}

// wrong reports a value of the wrong type.
func (s *section) wrong(key, expected string, v any, suggestion string) {
	s.problem(key, fmt.Sprintf("%s must be %s, not %s", key, expected, describe(v)), suggestion)
}

// describe names a value of the TOML tree.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	case bool:
		return fmt.Sprintf("%v", v)
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "a list"
}
