package metrics

import "testing"

func TestDiscovery(t *testing.T) {
	m := everything()
	late := m.Discovery("d")
	late.Asked(DiscoveryRejected)
	late.Asked("no such result")
	expect(t, m, `
		# HELP fairlead_discoveries_total Times that a cluster was asked for its members, by result.
		# TYPE fairlead_discoveries_total counter
		fairlead_discoveries_total{pool="d",result="failure"} 0
		fairlead_discoveries_total{pool="d",result="rejected"} 1
		fairlead_discoveries_total{pool="d",result="success"} 1
		# HELP fairlead_discovery_members Members of a pool in the list that discovery has put in force.
		# TYPE fairlead_discovery_members gauge
		fairlead_discovery_members{pool="d"} 3
	`, "fairlead_discoveries_total", "fairlead_discovery_members")
	m.Discovery("other")
	m.RemoveDiscovery("d")
	late.Asked(DiscoverySuccess)
	late.Members(1)
	if found := series(t, m, "pool", "d"); found != nil {
		t.Errorf("left behind: %v", found)
	}
	if found := series(t, m, "pool", "other"); len(found) != 4 {
		t.Errorf("of another pool there are %v", found)
	}
}
