package balancer

import "strings"

// Role is what a front end is to its cluster. The empty Role is unknown.
type Role string

const (
	Leader   Role = "leader"
	Follower Role = "follower"
	Observer Role = "observer"
)

// RoleSource says how a role was learnt. A later one in this list gives way to an earlier one.
type RoleSource string

const (
	RoleFromFile      RoleSource = "file"      // written in the configuration
	RoleFromDiscovery RoleSource = "discovery" // from SHOW FRONTENDS
	RoleFromProbe     RoleSource = "probe"     // from the front end's metrics
)

var roleSources = map[RoleSource]int{RoleFromFile: 3, RoleFromDiscovery: 2, RoleFromProbe: 1}

// Learnt is a role for people, with how it was learnt: "leader (discovery)". Metrics tell of the others only that they do
// not lead.
func (r Role) Learnt(from RoleSource) string {
	switch {
	case from == "":
		return string(r)
	case r == "" && from == RoleFromProbe:
		return "not the leader (probe)"
	case r == "":
		return ""
	}
	return string(r) + " (" + string(from) + ")"
}

// outranks tells whether what one source says of a role stands against another one.
func (s RoleSource) outranks(other RoleSource) bool { return roleSources[s] > roleSources[other] }

// roleSet is a set of roles, or, empty, any of them and none.
type roleSet uint8

func newRoleSet(roles ...Role) roleSet {
	var set roleSet
	for _, r := range roles {
		switch r {
		case Leader:
			set |= 1
		case Follower:
			set |= 2
		case Observer:
			set |= 4
		}
	}
	return set
}

// wants tells whether a backend of that role will do.
func (set roleSet) wants(role roleSet) bool { return set == 0 || set&role != 0 }

// joinRoles names roles for people.
func joinRoles(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " or ")
}

// tiers are the sets of roles to choose from, one after the other. No tiers are as good as one that wants any role.
type tiers []roleSet

var anyRole = tiers{0}

// newTiers is what a listener that wants some roles chooses from.
func newTiers(only []Role, fallback bool) tiers {
	set := newRoleSet(only...)
	if set != 0 && fallback {
		return tiers{set, 0}
	}
	return tiers{set}
}

// setRole notes what a backend is to its cluster, unless somebody who knows better has said so.
func (p *Pool) setRole(b *Backend, role Role, from RoleSource) {
	if b.mu.roleFrom.outranks(from) || b.mu.role == role && b.mu.roleFrom == from {
		return
	}
	if was := b.mu.role; was != role && b.mu.roleFrom != "" {
		p.log.Info("backend has another role", "backend", b.Name, "was", was, "role", role, "from", from)
	}
	b.mu.role, b.mu.roleFrom = role, from
	if i := b.mu.seat; i >= 0 {
		p.alter(i).role = newRoleSet(role)
		p.serveQueue()
	}
}

// forgetRoles forgets the roles that nobody tells any more.
func (p *Pool) forgetRoles() {
	config := p.config.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.mu.backends {
		if b.mu.roleFrom == RoleFromDiscovery && !config.Discovered || b.mu.roleFrom == RoleFromProbe && !config.LearnsRoles ||
			b.mu.roleFrom == "" && b.mu.role != "" {
			b.mu.role, b.mu.roleFrom = "", ""
			p.alter(i).role = newRoleSet("")
		}
	}
	p.serveQueue()
}
