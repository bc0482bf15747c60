package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	sockaddr "github.com/hashicorp/go-sockaddr"

	"fairlead/internal/spelling"
)

// knownKey is a key that the decoder asks for.
type knownKey struct {
	name string
	// byDefault is the default as TOML, a table's header, or empty for a key without default.
	byDefault string
}

// schema lists the keys of each section, by the section's header.
type schema map[string][]knownKey

func (k schema) add(header, name, byDefault string) {
	k[header] = append(k[header], knownKey{name, byDefault})
}

func (k schema) names(header string) []string {
	names := make([]string, len(k[header]))
	for i, key := range k[header] {
		names[i] = key.name
	}
	return names
}

// knownKeys is the schema. It is not written down anywhere: the decoder reads a file that has each section once, and
// what it asks for is noted.
var knownKeys = sync.OnceValue(func() schema {
	d := &document{
		name: "schema", root: &position{line: 1}, blamed: map[string]bool{}, within: map[string]bool{}, moved: map[string]int{}, recorded: schema{},
		host: host{interfaces: func() (sockaddr.IfAddrs, error) { return nil, nil }},
	}
	decodeFile(d, d.top(map[string]any{
		"listener": []map[string]any{{"route": []map[string]any{{}}, "sniff": map[string]any{"route": []map[string]any{{}}}}},
		"pool":     []map[string]any{{"backend": []map[string]any{{}}}},
	}))
	return d.recorded
})

// tableHeader stands for the default of a table.
type tableHeader string

// literal writes a default as TOML.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	case time.Duration:
		return strconv.Quote(plain(v))
	case tableHeader:
		return string(v)
	}
	return fmt.Sprint(v)
}

// rejectUnknown reports the keys of a section that the decoder will not ask for. Where a key's spelling is nearly
// that of a known one the value is read as that: so one typing error is one error.
func (s *section) rejectUnknown() {
	names := s.doc.known.names(s.header)
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if slices.Contains(names, key) {
			continue
		}
		line := s.at.key(key).line
		what := fmt.Sprintf("unknown key %q", key)
		if isTable(s.values[key]) {
			what = fmt.Sprintf("unknown table %q", strings.TrimPrefix(s.dotted+"."+key, "."))
		} else if s.header != "" {
			what += " in " + s.header
		}
		near := spelling.Nearest(key, names)
		s.doc.at(line, what, s.suggest(key, near))
		if near != "" && !s.has(near) {
			s.values[near] = s.values[key]
			s.at.alias(near, key)
		}
	}
}

// alias makes what is at key also known as name.
func (p *position) alias(name, key string) {
	if c := p.keys[key]; c != nil {
		p.keys[name] = c
	}
}

func isTable(v any) bool {
	switch v.(type) {
	case map[string]any, []map[string]any:
		return true
	}
	return false
}

// suggest says what an unknown key may have meant: a name nearly the same, one of other sections, or the list of what
// is known.
func (s *section) suggest(key, near string) string {
	known := s.doc.known
	if near != "" {
		if written := known.written(s.header, near); written != near {
			return fmt.Sprintf("did you mean %s?", written)
		}
		return fmt.Sprintf("did you mean %q?", near)
	}
	var elsewhere []string
	for _, header := range slices.Sorted(maps.Keys(known)) {
		if header != s.header && slices.Contains(known.names(header), key) {
			place := header
			if header == "" {
				place = "the top of the file"
			}
			if written := known.written(header, key); written != key {
				place = written
			}
			elsewhere = append(elsewhere, place)
		}
	}
	if len(elsewhere) == 1 && strings.HasPrefix(elsewhere[0], "[") && isTable(s.values[key]) {
		return "write " + elsewhere[0]
	}
	if len(elsewhere) > 0 {
		return "it belongs in " + strings.Join(elsewhere, " or ")
	}
	all := known.names(s.header)
	for i, name := range all {
		all[i] = known.written(s.header, name)
	}
	return "known here: " + strings.Join(all, ", ")
}

// written is a key as it stands in the file: a table with its brackets.
func (k schema) written(header, name string) string {
	for _, key := range k[header] {
		if key.name == name && strings.HasPrefix(key.byDefault, "[") {
			return key.byDefault
		}
	}
	return name
}
