package balancer

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"fairlead/internal/mysqlwire"
)

// RouteConfig leads some of a listener's clients to a pool of their own. A client must fit every field that is not
// empty, and fits a field when it fits one of its entries.
type RouteConfig struct {
	// User, Database and Program are what the login says: names, or globs. In a glob * stands for any text, ? for one
	// character, [a-z] for one of those, [^a-z] for one that is none of those, and \ takes the meaning from the next one.
	// They can't be read of clients that use TLS.
	User, Database, Program []string
	// Source are networks that the client's address is in.
	Source []netip.Prefix
	// Pool is where such clients are led.
	Pool string
}

// needsLogin tells whether the route can't be decided by the address alone.
func (c RouteConfig) needsLogin() bool {
	return len(c.User)+len(c.Database)+len(c.Program) > 0
}

// routes are a listener's, in order: the first that fits decides.
type routes []route

// route is a RouteConfig, ready for use.
type route struct {
	user, database, program patterns
	source                  []netip.Prefix
	login                   bool // it asks for something of the login
	to                      target
}

// newRoutes makes routes of valid configurations. Without any they are nil.
func newRoutes(configs []RouteConfig, targets map[string]target) routes {
	var made routes
	for _, c := range configs {
		made = append(made, route{user: newPatterns(c.User), database: newPatterns(c.Database), program: newPatterns(c.Program),
			source: c.Source, login: c.needsLogin(), to: targets[c.Pool]})
	}
	return made
}

// bySource finds the route that the client's address decides for, or -1. login tells that one before it may take the
// client, and that its login has to be asked.
func (rs routes) bySource(from netip.Addr) (decided int, login bool) {
	for i := range rs {
		switch r := &rs[i]; {
		case !contains(r.source, from):
		case r.login:
			login = true
		default:
			return i, login
		}
	}
	return -1, login
}

// byLogin finds the route for a client that has said who it is, or -1.
func (rs routes) byLogin(from netip.Addr, who *mysqlwire.Login) int {
	program := who.Program()
	return slices.IndexFunc(rs, func(r route) bool {
		return contains(r.source, from) && r.user.match(who.User) && r.database.match(who.Database) && r.program.match(program)
	})
}

// contains tells whether an address is in one of the networks; no networks are all of them.
func contains(networks []netip.Prefix, a netip.Addr) bool {
	return len(networks) == 0 || slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a.Unmap()) })
}

// patterns are names and globs; none of them take every text.
type patterns []pattern

// pattern is a name, or, with a glob, a set of names.
type pattern struct {
	text string
	glob *regexp.Regexp
}

func newPatterns(texts []string) patterns {
	var made patterns
	for _, text := range texts {
		p := pattern{text: text}
		if isGlob(text) {
			p.glob, _ = newGlob(text) // one with an error, which Validate finds, stays a name
		}
		made = append(made, p)
	}
	return made
}

func (ps patterns) match(text string) bool {
	return len(ps) == 0 || slices.ContainsFunc(ps, func(p pattern) bool { return p.match(text) })
}

func (p pattern) match(text string) bool {
	if p.glob != nil {
		return p.glob.MatchString(text)
	}
	return p.text == text
}

func isGlob(text string) bool { return strings.ContainsAny(text, `*?[\`) }

// newGlob makes a regular expression of a glob: those of Go take time in proportion to the text, whatever a client sends.
func newGlob(glob string) (*regexp.Regexp, error) {
	var made strings.Builder
	made.WriteString(`(?s)\A`)
	for rest := glob; rest != ""; {
		c := rest[0]
		switch {
		case c == '*':
			made.WriteString(".*")
		case c == '?':
			made.WriteByte('.')
		case c == '[':
			set, length, err := newSet(rest)
			if err != nil {
				return nil, err
			}
			made.WriteString(set)
			rest = rest[length:]
			continue
		case c == '\\' && len(rest) == 1:
			return nil, fmt.Errorf(`a \ ends it`)
		case c == '\\':
			rest = rest[1:]
			fallthrough
		default:
			// A character of several bytes goes in byte by byte: none of them has a meaning.
			made.WriteString(regexp.QuoteMeta(rest[:1]))
		}
		rest = rest[1:]
	}
	made.WriteString(`\z`)
	return regexp.Compile(made.String())
}

// newSet reads the set that text begins with, such as [a-z]; length is that of what it has read.
func newSet(text string) (set string, length int, err error) {
	end := strings.IndexByte(text[1:], ']') + 1
	if end == 0 {
		return "", 0, fmt.Errorf("a [ has no ]")
	}
	members, negated := strings.CutPrefix(text[1:end], "^")
	if members == "" {
		return "", 0, fmt.Errorf("the set %s is empty", text[:end+1])
	}
	made := "["
	if negated {
		made += "^"
	}
	for i, r := range members {
		if r == '-' && i > 0 && i < len(members)-1 {
			made += "-"
		} else {
			made += regexp.QuoteMeta(string(r))
			if r == '-' {
				made = strings.TrimSuffix(made, "-") + `\-`
			}
		}
	}
	made += "]"
	if _, err := regexp.Compile(made); err != nil {
		return "", 0, fmt.Errorf("the set %s is out of order", text[:end+1])
	}
	return made, end + 1, nil
}

// covers tells whether a route takes every client that a later one could take; it may say no where the answer is yes.
func (c RouteConfig) covers(later RouteConfig) bool {
	return coversTexts(c.User, later.User) && coversTexts(c.Database, later.Database) && coversTexts(c.Program, later.Program) &&
		coversNetworks(c.Source, later.Source)
}

func coversTexts(all, some []string) bool {
	if len(all) == 0 || slices.Contains(all, "*") {
		return true
	}
	wide := newPatterns(all)
	return len(some) > 0 && !slices.ContainsFunc(some, func(text string) bool {
		return !slices.Contains(all, text) && (isGlob(text) || !wide.match(text))
	})
}

func coversNetworks(all, some []netip.Prefix) bool {
	if len(all) == 0 {
		return true
	}
	return len(some) > 0 && !slices.ContainsFunc(some, func(n netip.Prefix) bool {
		return !slices.ContainsFunc(all, func(wide netip.Prefix) bool { return wide.Bits() <= n.Bits() && wide.Contains(n.Addr()) })
	})
}
