package control

import (
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/probe"
)

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
	// Now is the time of the answer.
	Now time.Time `json:"now"`
	balancer.Status
	// Discoveries tells how clusters are asked for the members of pools.
	Discoveries []probe.DiscoveryHealth `json:"discoveries,omitempty"`
	// Former are the processes from before an upgrade that still have sessions.
	Former []FormerProcess `json:"former,omitempty"`
}

// Sort is an order of sessions.
type Sort string

// The orders of sessions: as they came, or those first that have moved most bytes, have lasted longest, or have been
// silent for longest.
const (
	ByID    Sort = "id"
	ByBytes Sort = "bytes"
	ByAge   Sort = "age"
	ByIdle  Sort = "idle"
)

// Sorts are all of them.
var Sorts = []Sort{ByID, ByBytes, ByAge, ByIdle}

// SessionsQuery says which sessions are asked for.
type SessionsQuery struct {
	// Sort is their order; empty means ByID.
	Sort Sort
	// Limit is how many there may be; 0 means all.
	Limit int
}

// Reloaded is what a reload has done, or would do.
type Reloaded struct {
	// File is the one that was read.
	File string `json:"file"`
	// Changes are what differs from what was in force; those that need a restart are not applied.
	Changes []config.Change `json:"changes"`
	// Warnings are what looks odd in the file.
	Warnings []string `json:"warnings,omitempty"`
}

// Reloader reads the configuration again. A file that can't be put in force is a *FileError.
type Reloader interface {
	// Reload puts it in force, or changes nothing. by names who asked for it.
	Reload(by string) (Reloaded, error)
	// Diff tells what Reload would do.
	Diff() (Reloaded, error)
}

// Instruction asks for an order for a backend.
type Instruction struct {
	// Backend is its name or address, with the pool's name and a slash before where that is not clear enough.
	Backend string `json:"backend"`
	// CloseIdle has its sessions ended as soon as they are idle between statements. Not with enable.
	CloseIdle bool `json:"close_idle,omitempty"`
	// Deadline is how long its sessions may go on, such as "5m"; then they are cut. Empty sets no bound. Not with enable.
	Deadline string `json:"deadline,omitempty"`
}

// Ordered is what came of it.
type Ordered struct {
	Pool    string         `json:"pool"`
	Backend string         `json:"backend"`
	State   balancer.State `json:"state"`
	// Sessions are those that the backend has now; a drain lets them go on.
	Sessions int `json:"sessions"`
	// Deadline is when those that are left will be cut; zero if they won't.
	Deadline time.Time `json:"deadline,omitzero"`
	// Absent tells that the backend is no member of its pool now.
	Absent bool `json:"absent,omitempty"`
	// NotKept is why a restart will forget the order although there is a state file; empty when all is well.
	NotKept string `json:"not_kept,omitempty"`
}

// Fault is what went wrong.
type Fault struct {
	Message string `json:"error"`
}
