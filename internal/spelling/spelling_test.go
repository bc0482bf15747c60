package spelling

import "testing"

func TestNearest(t *testing.T) {
	keys := []string{"interval", "fast_interval", "timeout", "rise", "fall", "idle_timeout", "fe"}
	for _, c := range []struct{ word, want string }{
		{"intervall", "interval"},
		{"inetrval", "interval"},
		{"Interval", "interval"},
		{"fast-interval", "fast_interval"},
		{"fastInterval", "fast_interval"},
		{"timout", "timeout"},
		{"idletimeout", "idle_timeout"},
		{"rises", "rise"},
		{"fee", "fe"},
		{"time", "timeout"},
		{"timeout_ms", "timeout"},
		{"ti", ""},
		{"ef", ""},
		{"FE", "fe"},
		{"bananas", ""},
		{"", ""},
	} {
		if got := Nearest(c.word, keys); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1},
		{"kitten", "sitting", 3}, {"héron", "heron", 1},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzNearest: a candidate's own spelling is always found, and what is found is always a candidate.
func FuzzNearest(f *testing.F) {
	f.Add("interval", "timeout")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != "" && Nearest(a, []string{a}) != a {
			t.Errorf("%q is not nearest to itself", a)
		}
		if got := Nearest(a, []string{b}); got != "" && got != b {
			t.Errorf("Nearest(%q, [%q]) = %q", a, b, got)
		}
		if distance(a, b) != distance(b, a) {
			t.Errorf("the distance of %q and %q depends on their order", a, b)
		}
	})
}
