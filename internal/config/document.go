package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
	sockaddr "github.com/hashicorp/go-sockaddr"
)

// host is what a file is checked against beyond its own text.
type host struct {
	// interfaces are the addresses that templates choose from.
	interfaces func() (sockaddr.IfAddrs, error)
	// stat opens a file and tells about it; nil means that no file is looked at.
	stat func(name string) (os.FileInfo, error)
}

// document is one file while it is read.
type document struct {
	name string
	host host
	root *position

	problems, warnings []Problem
	// blamed holds the paths that something was reported about, within also all that these lie in: one fault is not
	// told twice.
	blamed, within map[string]bool
	// moved holds the lines of what is not where its path would be sought: addresses that a template made.
	moved map[string]int
	// known is the schema. recorded is where the keys go that are asked for while the schema is made; otherwise nil.
	known, recorded schema
	// settings are what the keys mean.
	settings []setting
}

// parse is Parse on a host of one's choice.
func parse(name string, data []byte, h host) (*File, error) {
	d := &document{name: name, host: h, known: knownKeys(), blamed: map[string]bool{}, within: map[string]bool{}, moved: map[string]int{}}
	if len(data) > maxSize {
		return nil, Errors{{name, 1, fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), maxSize), ""}}
	}
	text := string(data)
	root, repeated, excess := locate(text)
	if excess != nil {
		excess.File = name
		return nil, Errors{*excess}
	}
	d.root = root
	var tree map[string]any
	if _, err := toml.Decode(text, &tree); err != nil {
		return nil, Errors{d.syntax(text, err)}
	}
	for _, r := range repeated {
		d.at(r.line, fmt.Sprintf("%q has a value already", r.key), fmt.Sprintf("remove this or line %d", r.first))
	}
	f := decodeFile(d, d.top(tree))
	d.check(f)
	if len(d.problems) > 0 {
		return nil, Errors(sorted(d.problems))
	}
	f.Warnings, f.settings = sorted(d.warnings), d.settings
	return f, nil
}

// top is the section of the keys and tables that stand in no other.
func (d *document) top(tree map[string]any) *section {
	return d.open("", "", "", tree, d.root)
}

// problem reports a fault at a path of keys that are known, and so hold neither dot nor bracket.
func (d *document) problem(path, message, suggestion string) {
	d.blame(path)
	d.at(d.line(path), message, suggestion)
}

// blame notes that something is wrong at path.
func (d *document) blame(path string) {
	d.blamed[path] = true
	for path != "" {
		d.within[path] = true
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

func (d *document) warn(path, message, suggestion string) {
	d.warnings = append(d.warnings, Problem{d.name, d.line(path), message, suggestion})
}

func (d *document) at(line int, message, suggestion string) {
	d.problems = append(d.problems, Problem{d.name, line, message, suggestion})
}

// line returns where a path is, or where it would belong.
func (d *document) line(path string) int {
	if line, ok := d.moved[path]; ok {
		return line
	}
	return d.root.find(path).line
}

// isBlamed tells whether a fault was reported at path or inside it.
func (d *document) isBlamed(path string) bool { return d.within[path] }

// resolve makes the name of a file that the configuration mentions relative to the configuration's own directory, so
// that it means the same wherever fairlead is started.
func (d *document) resolve(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.name), name)
}
