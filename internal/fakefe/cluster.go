package fakefe

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// ErrNotMember is returned for an FE that is not, or no longer, a member of the cluster.
var ErrNotMember = errors.New("fakefe: not a member of the cluster")

// Cluster is several FEs that know of each other, one of which leads. All members share one host and differ by port; so, unlike
// on real front ends, QueryPort alone tells them apart.
type Cluster struct {
	template Config
	// changes serialises Add, Remove, Drop, MoveLeader and Stop. It is not mu, so that whoever is told of an event meanwhile may
	// ask for the members.
	changes sync.Mutex

	mu struct {
		sync.Mutex
		members []*FE
		ids     map[*FE]int
		lastID  int
		stopped bool
	}
}

// StartCluster starts size FEs like template, named fe1, fe2 and so on; Name, Number and Role are set for each,
// and ports must be left to the kernel. The first one leads, the second and third are followers, others observers.
func StartCluster(size int, template Config) (*Cluster, error) {
	c := &Cluster{template: template}
	c.mu.ids = make(map[*FE]int)
	for i := range size {
		role := Observer
		switch {
		case i == 0:
			role = Leader
		case i < 3:
			role = Follower
		}
		if _, err := c.Add(role); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Members returns the present members, in the order in which they were added.
func (c *Cluster) Members() []*FE {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.members)
}

// Leader returns the member that leads, or nil.
func (c *Cluster) Leader() *FE {
	for _, fe := range c.Members() {
		if fe.Role() == Leader {
			return fe
		}
	}
	return nil
}

// Add starts one more FE and lists it. A new Leader takes the lead from the present one.
func (c *Cluster) Add(role Role) (*FE, error) {
	c.changes.Lock()
	defer c.changes.Unlock()
	c.mu.Lock()
	stopped, id := c.mu.stopped, c.mu.lastID+1
	c.mu.Unlock()
	if stopped {
		return nil, ErrStopped
	}
	config := c.template
	config.Name, config.Number, config.Role = fmt.Sprintf("fe%d", id), byte(id), role
	if role == Leader {
		// It is elected once it is a member.
		config.Role = Follower
	}
	fe, err := Start(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.Name, err)
	}
	fe.SetFrontends(func() []Frontend { return c.frontends(fe) })
	c.mu.Lock()
	c.mu.lastID = id
	c.mu.ids[fe] = id
	c.mu.members = append(c.mu.members, fe)
	c.mu.Unlock()
	if role == Leader {
		c.elect(fe)
	}
	return fe, nil
}

// Remove takes an FE out of the list and stops it. Without a leader the cluster has none until MoveLeader.
func (c *Cluster) Remove(fe *FE) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	if err := c.drop(fe); err != nil {
		return err
	}
	fe.Stop()
	return nil
}

// Drop takes an FE out of the list and lets it run on, as ALTER SYSTEM DROP FOLLOWER does. To stop it later is the
// caller's business.
func (c *Cluster) Drop(fe *FE) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	return c.drop(fe)
}

// drop is Drop with c.changes held.
func (c *Cluster) drop(fe *FE) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.mu.members, fe)
	if i >= 0 {
		c.mu.members = slices.Delete(c.mu.members, i, i+1)
		delete(c.mu.ids, fe)
		return nil
	}
	return ErrNotMember
}

// MoveLeader makes fe the leader; the one that led becomes a follower.
func (c *Cluster) MoveLeader(fe *FE) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	if !slices.Contains(c.Members(), fe) {
		return ErrNotMember
	}
	c.elect(fe)
	return nil
}

// elect moves the lead. c.changes is held.
func (c *Cluster) elect(fe *FE) {
	for _, other := range c.Members() {
		if other != fe && other.Role() == Leader {
			other.SetRole(Follower)
		}
	}
	fe.SetRole(Leader)
}

// Stop stops all members.
func (c *Cluster) Stop() {
	c.changes.Lock()
	defer c.changes.Unlock()
	c.mu.Lock()
	members := c.mu.members
	c.mu.members, c.mu.stopped = nil, true
	c.mu.Unlock()
	for _, fe := range members {
		fe.Stop()
	}
}

// frontends is what SHOW FRONTENDS lists on one member, with two habits of real front ends: HttpPort is the answering
// one's own on every row, and the answering one always calls itself alive.
func (c *Cluster) frontends(answering *FE) []Frontend {
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := make([]Frontend, 0, len(c.mu.members))
	for _, fe := range c.mu.members {
		row := fe.row(c.mu.ids[fe])
		row.HTTPPort = answering.http.address.Port
		if fe == answering {
			row.Alive, row.Answering = true, true
		}
		if !row.Alive {
			row.ErrMsg = "got exception"
		}
		rows = append(rows, row)
	}
	return rows
}
