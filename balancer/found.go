package balancer

import (
	"errors"
	"fmt"
	"strings"
)

// Found is a backend that discovery has found. Its role is the cluster's word.
type Found struct {
	// Address is host:port; the host is an IP address or a name.
	Address string `json:"address"`
	Role    Role   `json:"role,omitempty"`
}

// ErrTooFew is a list of members that is shorter than the pool's minimum, and not believed.
var ErrTooFew = errors.New("balancer: discovery has found too few backends")

// minimum is the fewest members that discovery may leave.
func (c PoolConfig) minimum() int { return max(1, c.Minimum) }

// Discovered makes the members of a pool those that discovery has found. Those that are new take sessions once a probe
// has succeeded; those that have gone keep the sessions that they have. An error changes nothing.
func (b *Balancer) Discovered(pool string, found []Found) error {
	p := b.Pool(pool)
	if p == nil {
		return fmt.Errorf("balancer: no pool %q", pool)
	}
	if err := p.roster.discovered(found); err != nil {
		return err
	}
	p.setRoles(rolesOf(found))
	return nil
}

// discovered makes the pool's members those that discovery has found.
func (r *roster) discovered(found []Found) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := r.pool.Config()
	if !config.Discovered {
		return fmt.Errorf("balancer: pool %q has no discovery", config.Name)
	}
	if len(found) < config.minimum() {
		return fmt.Errorf("%w: %d of at least %d in pool %q", ErrTooFew, len(found), config.minimum(), config.Name)
	}
	gone, err := r.join(config.wanted(found), true)
	if err != nil {
		return err
	}
	r.mu.found = found
	r.leave(gone)
	return nil
}

// lastFound is the latest list that was believed; nil before the first.
func (r *roster) lastFound() []Found {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.found
}

// wanted are the members of a pool in which discovery has found some; until then they are those that are configured, as
// they are without discovery. Where it finds a configured backend that keeps its weight, its cap and its name.
func (c PoolConfig) wanted(found []Found) []BackendConfig {
	if found == nil || !c.Discovered {
		return c.Backends
	}
	configured := map[string]BackendConfig{}
	for _, b := range c.Backends {
		configured[strings.ToLower(b.Address)] = b
	}
	wanted := make([]BackendConfig, len(found))
	for i, f := range found {
		b, ok := configured[strings.ToLower(f.Address)]
		if !ok {
			b = BackendConfig{Address: f.Address, Weight: 1}
		}
		wanted[i] = b
	}
	return wanted
}

func rolesOf(found []Found) map[string]Role {
	roles := map[string]Role{}
	for _, f := range found {
		roles[strings.ToLower(f.Address)] = f.Role
	}
	return roles
}

// setRoles notes what discovery has said of the members, by the addresses that they are configured with.
func (p *Pool) setRoles(roles map[string]Role) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.mu.backends {
		if role, ok := roles[strings.ToLower(b.mu.config.Address)]; ok {
			p.setRole(b, role, RoleFromDiscovery)
		}
	}
}
