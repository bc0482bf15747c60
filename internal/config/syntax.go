package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// syntax makes an error of the TOML library into a Problem. The library stops at the first error of syntax. It tells what
// the grammar lacks; what the person meant is guessed from the line.
func (d *document) syntax(text string, err error) Problem {
	p := Problem{File: d.name, Line: 1, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	var at toml.ParseError
	if !errors.As(err, &at) {
		return p
	}
	lines := strings.Split(text, "\n")
	p.Line = at.Position.Line
	p.Message = "not TOML: " + strings.TrimSuffix(at.Message, ".")
	switch {
	case strings.HasSuffix(at.Message, "has already been defined."):
		p.Message = "key " + strings.TrimPrefix(strings.TrimSuffix(at.Message, "."), "Key ")
	case strings.HasPrefix(at.Message, "expected a top-level item to end"):
		p.Message = "not TOML: the line goes on after the value"
	case strings.Contains(at.Message, "table") && strings.HasSuffix(at.Message, `got '\n' instead`):
		p.Line-- // the line that the table's name stands on has ended
	}
	p.Line = min(max(p.Line, 1), len(lines))
	p.Suggestion = d.suggestSyntax(strings.TrimSpace(lines[p.Line-1]), at.Message)
	return p
}

var (
	// assignment is a line with key and value.
	assignment = regexp.MustCompile(`^([A-Za-z0-9_-]+)\s*=\s*(.*?)\s*(?:#[^"']*)?$`)
	// almost is a line that lacks the equals sign.
	almost = regexp.MustCompile(`^([A-Za-z0-9_-]+)(?:\s*:\s*|\s+)([^\s=].*)$`)
	// header is a line that should be a table's header.
	header = regexp.MustCompile(`^\[+\s*([A-Za-z0-9_.-]+)\s*\]*$`)
)

// suggestSyntax guesses what was meant by a line.
func (d *document) suggestSyntax(line, message string) string {
	if m := header.FindStringSubmatch(line); m != nil {
		return d.suggestHeader(m[1], message)
	}
	if strings.HasSuffix(message, "has already been defined.") {
		return "remove one of the two"
	}
	if m := assignment.FindStringSubmatch(line); m != nil {
		return suggestValue(m[1], m[2])
	}
	if m := almost.FindStringSubmatch(line); m != nil {
		return fmt.Sprintf("write %s = %s", m[1], m[2])
	}
	return ""
}

// suggestHeader tells how a known table is written.
func (d *document) suggestHeader(name, message string) string {
	written := []string{"[" + name + "]", "[[" + name + "]]"}
	known := ""
	for h := range d.known {
		if slices.Contains(written, h) {
			known = h
		}
	}
	if known == "" {
		return ""
	}
	if strings.Contains(message, "was already created") {
		return known + " comes before the tables that belong to it"
	}
	if strings.Contains(message, "already been defined") && !strings.HasPrefix(known, "[[") {
		return known + " can be given once: put the keys of both together"
	}
	return "write " + known
}

// suggestValue tells how a value is written that is no TOML.
func suggestValue(key, value string) string {
	_, isDuration := guessDuration(value)
	switch {
	case value == "":
		return "a value is missing after ="
	case strings.Contains(value, "{{"):
		return "put a template between single quotes: " + key + " = '" + strings.Trim(value, `"'`) + "'"
	case value[0] == '"' || value[0] == '\'':
		return suggestQuotes(value)
	case slices.Contains([]string{"yes", "on", "True", "TRUE", "Yes", "On"}, value):
		return "write " + key + " = true"
	case slices.Contains([]string{"no", "off", "False", "FALSE", "No", "Off"}, value):
		return "write " + key + " = false"
	case value[0] == '[' || value[0] == '{':
		return ""
	case isDuration:
		guess, _ := guessDuration(value)
		return fmt.Sprintf("put a duration between quotes: %s = %q", key, guess)
	}
	if n, ok := plainNumber(value); ok {
		return fmt.Sprintf("write %s = %d", key, n)
	}
	return fmt.Sprintf("put text between quotes: %s = %q", key, strings.Trim(value, `"'`))
}

// suggestQuotes looks at a string that is no TOML.
func suggestQuotes(value string) string {
	switch {
	case strings.Count(value, value[:1])%2 == 1:
		return "a closing quote is missing"
	case value[0] == '"' && strings.Contains(value, `\`):
		return `between single quotes a backslash is a backslash`
	}
	return ""
}
