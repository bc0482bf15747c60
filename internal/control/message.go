package control

import "fairlead/balancer"

// About tells which process answers.
type About struct {
	Version string `json:"version"`
	PID     int    `json:"pid"`
	// File is the configuration's, as it was named at the start.
	File string `json:"file"`
}

// Status is what a running fairlead tells of itself. Its JSON is stable: fields are added, never changed.
type Status struct {
	About
	balancer.Status
}

// order asks for something to be done with a backend.
type order struct {
	Backend string `json:"backend"`
}

// Ordered is what came of it.
type Ordered struct {
	Pool    string         `json:"pool"`
	Backend string         `json:"backend"`
	State   balancer.State `json:"state"`
	// Sessions are those that the backend has now; a drain lets them go on.
	Sessions int `json:"sessions"`
}

// Fault is what went wrong.
type Fault struct {
	Message string `json:"error"`
}
