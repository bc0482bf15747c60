package config

import (
	"sort"
	"strconv"
	"strings"
)

// position is where a key, a table or an element of an array begins, and what lies inside it. The TOML
// library tells positions only for its own errors, so locate finds them.
type position struct {
	line int // from 1
	keys map[string]*position
	// elements are those of an array, or the tables of an array of tables.
	elements []*position
	// assigned is true once a value was given with "key = ".
	assigned bool
}

// child returns the position of a key, made at line if it is new. Inside an array of tables it is the last
// table that a key or header continues.
func (p *position) child(key string, line int) *position {
	if n := len(p.elements); n > 0 {
		p = p.elements[n-1]
	}
	c := p.keys[key]
	if c == nil {
		c = &position{line: line}
		if p.keys == nil {
			p.keys = map[string]*position{}
		}
		p.keys[key] = c
	}
	return c
}

// descend follows keys, each made at line if it is new.
func (p *position) descend(keys []string, line int) *position {
	for _, k := range keys {
		p = p.child(k, line)
	}
	return p
}

// element returns the i-th element, or p itself when there is none.
func (p *position) element(i int) *position {
	if i >= 0 && i < len(p.elements) {
		return p.elements[i]
	}
	return p
}

// key returns the position of a key, or p itself when p has no such key.
func (p *position) key(name string) *position {
	if c := p.keys[name]; c != nil {
		return c
	}
	return p
}

// find follows a path such as "pool[0].backend[1].weight" as far as it leads.
func (p *position) find(path string) *position {
	for _, step := range strings.Split(path, ".") {
		name, index, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		next := p.keys[name]
		if next == nil {
			return p
		}
		p = next
		if i, err := strconv.Atoi(index); indexed && err == nil {
			p = p.element(i)
		}
	}
	return p
}

// lineStarts turns offsets into lines.
type lineStarts []int

func startsOf(text string) lineStarts {
	starts := lineStarts{0}
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// line returns the number, from 1, of the line that holds the offset.
func (s lineStarts) line(offset int) int {
	return sort.SearchInts(s, offset+1)
}
