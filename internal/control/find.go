package control

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fairlead/balancer"
	"fairlead/internal/spelling"
)

var (
	errUnknown   = errors.New("no such backend")
	errAmbiguous = errors.New("several backends are called that")
)

// find finds the backend that a person means by its name, or else an address of it, perhaps with its pool and a slash
// before.
func find(b *balancer.Balancer, word string) (*balancer.Backend, error) {
	pools := b.Pools()
	for _, matches := range []func(*balancer.Backend, string) bool{named, addressed} {
		var found []*balancer.Backend
		for _, p := range pools {
			for _, member := range p.Backends() {
				if matches(member, word) || matches(member, strings.TrimPrefix(word, p.Name()+"/")) {
					found = append(found, member)
				}
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return nil, fmt.Errorf("%w: %q: say one of %s", errAmbiguous, word, strings.Join(fullNames(found), ", "))
		}
	}
	return nil, unknown(pools, word)
}

func named(b *balancer.Backend, word string) bool { return b.Name == word }

func addressed(b *balancer.Backend, word string) bool {
	if b.Config().Address == word {
		return true
	}
	for _, a := range b.Addresses() {
		if a.String() == word {
			return true
		}
	}
	return false
}

func fullNames(backends []*balancer.Backend) []string {
	var names []string
	for _, b := range backends {
		names = append(names, b.Pool.Name()+"/"+b.Name)
	}
	return names
}

// listed is how many backends an error lists at most.
const listed = 10

func unknown(pools []*balancer.Pool, word string) error {
	var names, full []string
	for _, p := range pools {
		members := p.Backends()
		for _, m := range members {
			names = append(names, m.Name)
		}
		full = append(full, fullNames(members)...)
	}
	if near := spelling.Nearest(word, slices.Concat(names, full)); near != "" {
		return fmt.Errorf("%w: %q: did you mean %q?", errUnknown, word, near)
	}
	if len(full) > listed {
		full = append(full[:listed], "…")
	}
	return fmt.Errorf("%w: %q: there are %s", errUnknown, word, strings.Join(full, ", "))
}
