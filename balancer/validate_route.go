package balancer

import (
	"fmt"
	"slices"
)

// routes checks the routes of one listener.
func (f *faults) routes(c Config, at string, l ListenerConfig) {
	login := slices.ContainsFunc(l.Routes, RouteConfig.needsLogin)
	if login {
		f.speaksMySQL(c, at+".pool", l.Pool)
	}
	for i, r := range l.Routes {
		path := fmt.Sprintf("%s.route[%d]", at, i)
		f.poolOf(c, path+".pool", "route", r.Pool)
		if login {
			f.speaksMySQL(c, path+".pool", r.Pool)
		}
		f.globs(path+".user", r.User)
		f.globs(path+".database", r.Database)
		f.globs(path+".program", r.Program)
		if !r.needsLogin() && len(r.Source) == 0 {
			f.add(path, "the route asks for nothing, and would take every client", "add user, database, program or source; "+
				"for all others there is the listener's pool")
			continue
		}
		if !r.wellFormed() {
			continue
		}
		for k, earlier := range l.Routes[:i] {
			if (earlier.needsLogin() || len(earlier.Source) > 0) && earlier.covers(r) {
				f.conflict(path, fmt.Sprintf("%s.route[%d]", at, k), "no client can come to this route: an earlier one takes all that it asks for",
					"the narrower route comes first")
				break
			}
		}
	}
}

// speaksMySQL checks a pool of a listener that has to read logins.
func (f *faults) speaksMySQL(c Config, path, name string) {
	for _, p := range c.Pools {
		if p.Name == name && p.Protocol == TCP {
			f.add(path, fmt.Sprintf("pool %q, whose protocol is tcp, can't be where routes ask for user, database or program", name),
				`logins are read in pools with protocol = "mysql"`)
		}
	}
}

// globs checks names and globs.
func (f *faults) globs(path string, texts []string) {
	for i, text := range texts {
		if text == "" {
			f.add(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s holds an empty text", key(path)), "")
			continue
		}
		if _, err := newGlob(text); err != nil {
			f.add(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s %q is no name and no glob: %v", key(path), text, err), `put a \ before a character that has no meaning here`)
		}
	}
}

// wellFormed tells whether all globs of a route are right.
func (c RouteConfig) wellFormed() bool {
	return !slices.ContainsFunc(slices.Concat(c.User, c.Database, c.Program), func(text string) bool {
		_, err := newGlob(text)
		return err != nil || text == ""
	})
}
