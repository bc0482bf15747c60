package daemon

import "fairlead/balancer"

// tuneMemory is where the garbage collector is told what suits a balancer. Nothing is set yet: the defaults of the Go
// runtime and of its environment (GOGC, GOMEMLIMIT) hold.
func tuneMemory(*balancer.Balancer) {}
