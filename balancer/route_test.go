package balancer

import (
	"net/netip"
	"strings"
	"testing"

	"fairlead/internal/mysqlwire"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"etl", "etl", true},
		{"etl", "etl2", false},
		{"etl", "ETL", false},
		{"etl_*", "etl_", true},
		{"etl_*", "etl_night/2\nx", true},
		{"*_ro", "ann_ro", true},
		{"*_ro", "ann_rw", false},
		{"a?c", "abc", true},
		{"a?c", "aüc", true},
		{"a?c", "ac", false},
		{"a?c", "abcd", false},
		{"a?c", "xabc", false},
		{"fe[0-9]", "fe7", true},
		{"fe[0-9]", "fex", false},
		{"fe[^0-9]", "fex", true},
		{"[-a]", "-", true},
		{"[a.]", "b", false},
		{"x[*]", "x*", true},
		{"x[*]", "xy", false},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{"a.c*", "abcd", false},
		{"größe*", "größer", true},
		{"*", "", true},
		{"*", "\xff\x00", true},
		{"?", "\xff", true},
		{"**", "x", true},
	} {
		if got := newPatterns([]string{c.glob}).match(c.text); got != c.want {
			t.Errorf("%q takes %q: %v, want %v", c.glob, c.text, got, c.want)
		}
	}
	for _, bad := range []string{"[", "[a", "[]", "[^]", "[z-a]", `a\`, "[a]["} {
		if _, err := newGlob(bad); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

// FuzzGlob: a glob that is right takes itself when all of its characters are escaped, and matching never fails.
func FuzzGlob(f *testing.F) {
	f.Add("etl_*", "etl_1")
	f.Add("[a-z]?\\", "b")
	f.Fuzz(func(t *testing.T, glob, text string) {
		newPatterns([]string{glob}).match(text)
		if strings.ToValidUTF8(text, "") != text {
			return // configurations hold UTF-8 alone
		}
		escaped := ""
		for _, r := range text {
			escaped += `\` + string(r)
		}
		if text != "" && !newPatterns([]string{escaped}).match(text) {
			t.Errorf("%q does not take %q", escaped, text)
		}
	})
}

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func TestRoutes(t *testing.T) {
	rs := newRoutes([]RouteConfig{
		{User: []string{"etl_*", "loader"}, Source: networks("10.0.0.0/8", "2001:db8::/32")},
		{Source: networks("10.1.0.0/16")},
		{Database: []string{"sales"}, Program: []string{"report*"}},
		{User: []string{"root"}},
		{Source: networks("192.168.0.0/16")},
	}, nil)
	for _, c := range []struct {
		from, user, database, program string
		wantSource                    int
		wantLogin                     bool
		want                          int
	}{
		{"10.0.0.1", "etl_x", "", "", -1, true, 0},
		{"::ffff:10.0.0.1", "loader", "", "", -1, true, 0},
		{"2001:db8::5", "loader", "", "", -1, true, 0},
		{"10.1.0.1", "loader", "", "", 1, true, 0},
		{"10.1.0.1", "ann", "sales", "report", 1, true, 1},
		{"10.2.0.1", "ann", "sales", "report 2", -1, true, 2},
		{"10.2.0.1", "ann", "Sales", "report", -1, true, -1},
		{"10.2.0.1", "ann", "sales", "", -1, true, -1},
		{"172.16.0.1", "etl_x", "", "", -1, true, -1},
		{"172.16.0.1", "root", "sales", "x", -1, true, 3},
		{"192.168.0.1", "root", "", "", 4, true, 3},
		{"192.168.0.1", "ann", "", "", 4, true, 4},
	} {
		from := netip.MustParseAddr(c.from)
		if i, login := rs.bySource(from); i != c.wantSource || login != c.wantLogin {
			t.Errorf("by source %s: %d, %v, want %d, %v", c.from, i, login, c.wantSource, c.wantLogin)
		}
		who := mysqlwire.Login{User: c.user, Database: c.database,
			Attributes: []mysqlwire.Attribute{{Name: "program_name", Value: c.program}}}
		if i := rs.byLogin(from, &who); i != c.want {
			t.Errorf("by login %+v: %d, want %d", c, i, c.want)
		}
	}
	only := newRoutes([]RouteConfig{{Source: networks("10.0.0.0/8")}, {User: []string{"x"}}}, nil)
	if i, login := only.bySource(netip.MustParseAddr("10.0.0.1")); i != 0 || login {
		t.Errorf("what an address decides first needs no login: %d, %v", i, login)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		name           string
		earlier, later RouteConfig
		want           bool
	}{
		{"the same", RouteConfig{User: []string{"a"}}, RouteConfig{User: []string{"a"}}, true},
		{"another", RouteConfig{User: []string{"a"}}, RouteConfig{User: []string{"b"}}, false},
		{"a glob", RouteConfig{User: []string{"a*"}}, RouteConfig{User: []string{"ab", "ac"}}, true},
		{"a glob and more", RouteConfig{User: []string{"a*"}}, RouteConfig{User: []string{"ab", "bc"}}, false},
		{"two globs", RouteConfig{User: []string{"a*"}}, RouteConfig{User: []string{"a?"}}, false}, // nobody can tell in general
		{"a star", RouteConfig{User: []string{"*"}}, RouteConfig{User: []string{"a?"}, Database: []string{"x"}}, true},
		{"narrower", RouteConfig{User: []string{"a"}}, RouteConfig{User: []string{"a"}, Database: []string{"x"}}, true},
		{"wider", RouteConfig{User: []string{"a"}, Program: []string{"x"}}, RouteConfig{User: []string{"a"}}, false},
		{"networks", RouteConfig{Source: networks("10.0.0.0/8")}, RouteConfig{Source: networks("10.1.0.0/16"), User: []string{"a"}}, true},
		{"wider networks", RouteConfig{Source: networks("10.1.0.0/16")}, RouteConfig{Source: networks("10.0.0.0/8")}, false},
		{"a wider network at the same address", RouteConfig{Source: networks("10.0.0.0/16")}, RouteConfig{Source: networks("10.0.0.0/8")}, false},
		{"any network", RouteConfig{Source: networks("10.1.0.0/16")}, RouteConfig{User: []string{"a"}}, false},
	} {
		if got := c.earlier.covers(c.later); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
