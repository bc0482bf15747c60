package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Change is one difference between what two files mean.
type Change struct {
	// Where is the table, such as pool "fe", backend "fe1:9030".
	Where string `json:"where"`
	// Kind is Added or Removed for a whole table, Changed for a key.
	Kind ChangeKind `json:"kind"`
	// Key is the key that differs, From and To its values as TOML, defaults included; empty where a table came or went, and
	// where a key has no value.
	Key  string `json:"key,omitempty"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Restart tells that a reload can't apply it.
	Restart bool `json:"restart,omitempty"`
}

// ChangeKind says how two files differ.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// String is the change as a line for people.
func (c Change) String() string {
	if c.Kind != Changed {
		return fmt.Sprintf("%s: %s", c.Where, c.Kind)
	}
	line := fmt.Sprintf("%s: %s: %s → %s", c.Where, c.Key, orNone(c.From), orNone(c.To))
	if c.Restart {
		line += " (needs a restart)"
	}
	return line
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

// Diff tells how next differs from f in what it means: an order of tables, a comment, or a default that is written down
// make no difference. Changes are in the order of next; then follows what it has no more.
func (f *File) Diff(next *File) []Change {
	before, after := f.tables(), next.tables()
	var changes []Change
	for _, t := range after {
		i := slices.IndexFunc(before, t.same)
		switch {
		case i >= 0:
			changes = append(changes, before[i].diff(t)...)
		case t.several && slices.ContainsFunc(before, t.inside):
			changes = append(changes, Change{Where: t.label, Kind: Added})
		}
	}
	for _, t := range before {
		if t.several && !slices.ContainsFunc(after, t.same) && slices.ContainsFunc(after, t.inside) {
			changes = append(changes, Change{Where: t.label, Kind: Removed})
		}
	}
	restart := f.NeedsRestart(next)
	for i, c := range changes {
		changes[i].Restart = slices.Contains(restart, strings.Trim(c.Where, "[]")+"."+c.Key)
	}
	return changes
}

// setting is what a key means in one file.
type setting struct {
	table, key string // the path of the table, with indices, and the key
	value      string // as TOML; empty for none
}

// note keeps what a key means. A duration is kept in one form, and a list of one as its element.
func (s *section) note(key string, raw, byDefault any) {
	if s.doc.recorded != nil {
		return
	}
	var value string
	switch v := raw.(type) {
	case nil:
		value = literal(byDefault)
	case string:
		value = literal(v)
		if _, ok := byDefault.(time.Duration); ok {
			if d, err := time.ParseDuration(v); err == nil {
				value = literal(d)
			}
		}
	case []any:
		words := make([]string, len(v))
		for i, e := range v {
			words[i] = literal(e)
		}
		value = strings.Join(words, ", ")
		if len(words) != 1 {
			value = "[" + value + "]"
		}
	default:
		value = literal(v)
	}
	s.doc.settings = append(s.doc.settings, setting{s.path, key, value})
}

// noteAs replaces what was noted of a key, where a template stands for something else now and then.
func (s *section) noteAs(key string, values ...string) {
	for i := len(s.doc.settings) - 1; i >= 0; i-- {
		if at := &s.doc.settings[i]; at.table == s.path && at.key == key {
			at.value = strings.Join(values, ", ")
			return
		}
	}
}

// table is one table of a file, by the names that people have given.
type table struct {
	label   string // the names of all tables that it lies in, and its own
	parent  string // without its own; empty at the top
	several bool   // there may be more of its kind
	keys    []setting
}

func (t table) same(other table) bool { return t.label == other.label }

// inside tells whether the table lies in another one, or at the top.
func (t table) inside(other table) bool { return t.parent == "" || t.parent == other.label }

// diff tells what differs in a later form of the table.
func (t table) diff(later table) []Change {
	var changes []Change
	for _, after := range later.keys {
		i := slices.IndexFunc(t.keys, func(before setting) bool { return before.key == after.key })
		if i >= 0 && t.keys[i].value != after.value {
			changes = append(changes, Change{Where: t.label, Kind: Changed, Key: after.key, From: t.keys[i].value, To: after.value})
		}
	}
	return changes
}

// tables are those of the file, in the order of their reading.
func (f *File) tables() []table {
	var all []table
	at, names := map[string]int{}, map[string]string{}
	for _, s := range f.settings {
		several := strings.HasSuffix(s.table, "]")
		if several && s.value != `""` && (s.key == "name" || s.key == "address" && names[s.table] == "") {
			names[s.table] = s.value // a name comes before an address
		}
		i, ok := at[s.table]
		if !ok {
			i = len(all)
			at[s.table] = i
			all = append(all, table{})
		}
		all[i].keys = append(all[i].keys, s)
	}
	for path, i := range at {
		all[i].label, all[i].parent = labelOf(path, names)
		all[i].several = strings.HasSuffix(path, "]")
	}
	return all
}

// labelOf names a table by the names in it: pool[0].backend[1] is pool "fe", backend "fe2:9030".
func labelOf(path string, names map[string]string) (label, parent string) {
	within := ""
	for i, step := range strings.Split(path, ".") {
		within = strings.TrimPrefix(within+"."+step, ".")
		name, index, indexed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
		parent = label
		if label != "" {
			label += ", "
		}
		switch own := names[within]; {
		case own != "":
			label += name + " " + own
		case indexed:
			n, _ := strconv.Atoi(index)
			label += fmt.Sprintf("%s %d", name, n+1) // routes have no names
		case i == 0:
			label += "[" + name + "]"
		default:
			label += name
		}
	}
	return label, parent
}

// Keeping is the file with what a reload can't apply as it is in running.
func (f *File) Keeping(running *File) *File {
	kept := *f
	kept.Admin, kept.Balancer.Engine, kept.Log.File = running.Admin, running.Balancer.Engine, running.Log.File
	restart := running.NeedsRestart(f)
	kept.settings = slices.Clone(f.settings)
	for i, s := range kept.settings {
		if !slices.Contains(restart, s.table+"."+s.key) {
			continue
		}
		j := slices.IndexFunc(running.settings, func(old setting) bool { return old.table == s.table && old.key == s.key })
		if j >= 0 {
			kept.settings[i] = running.settings[j]
		}
	}
	return &kept
}
