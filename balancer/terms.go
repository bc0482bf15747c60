package balancer

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
)

// terms are what a listener serves on: its configuration and what follows from it. They never change, but for a count; a
// reload replaces them as a whole. A session is set up on those that were in force when it was accepted.
type terms struct {
	ListenerConfig
	own     target
	tiers   tiers    // the roles of backends that it leads to
	routes  routes   // nil without any
	sniffer *sniffer // nil: only one protocol is served
	gated   bool     // somebody may be kept out

	// settingUp counts the sessions that are being set up on these terms: as long as there are any, the pools stay.
	settingUp atomic.Int64
}

// target is a pool to lead sessions to, with the settings that it has in the same configuration.
type target struct {
	pool     *Pool
	settings *settings
}

func newTerms(c ListenerConfig, targets map[string]target) *terms {
	own := targets[c.Pool]
	return &terms{ListenerConfig: c, own: own, tiers: newTiers(c.Roles, c.RolesFallback), routes: newRoutes(c.Routes, targets),
		sniffer: newSniffer(c.Sniff, own, targets), gated: c.Gate.restricts()}
}

// targets are all that sessions may be led to.
func (t *terms) targets() []target {
	all := []target{t.own}
	for _, r := range t.routes {
		all = append(all, r.to)
	}
	if t.sniffer != nil {
		for _, r := range t.sniffer.routes {
			all = append(all, r.to)
		}
	}
	return all
}

// same tells whether other terms mean the same.
func (t *terms) same(other *terms) bool {
	return slices.Equal(t.targets(), other.targets()) && reflect.DeepEqual(t.ListenerConfig, other.ListenerConfig)
}

// leadsTo tells whether a session may be led to a pool.
func (t *terms) leadsTo(p *Pool) bool {
	return slices.ContainsFunc(t.targets(), func(to target) bool { return to.pool == p })
}

// wanted says which roles are led to, in words that follow a pool's name.
func (t *terms) wanted() string {
	if len(t.Roles) == 0 || t.RolesFallback {
		return ""
	}
	return fmt.Sprintf(" with role %s", joinRoles(t.Roles))
}
