package fakefe

import (
	"net/netip"
	"time"
)

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	Connected    EventKind = "connected"    // a connection was accepted
	LoggedIn     EventKind = "logged in"    // Detail is the client's program
	Denied       EventKind = "denied"       // Detail is the error
	Queried      EventKind = "queried"      // Detail is the statement, at most 200 bytes of it
	Disconnected EventKind = "disconnected" // however it ended
	FaultSet     EventKind = "fault"        // Detail is the fault, "none" at the end of one
	Left         EventKind = "left"         // the end of a graceful leave
	Elected      EventKind = "elected"      // became the leader
)

// Event is something that happened at an FE. Fields that don't apply are zero.
type Event struct {
	At   time.Time
	FE   string // the FE's name
	Kind EventKind
	// Client is the peer's address, ConnectionID the number that KILL takes.
	Client       netip.AddrPort
	ConnectionID uint32
	User         string
	Detail       string
}

func (fe *FE) emit(e Event) {
	if fe.config.OnEvent == nil {
		return
	}
	e.At, e.FE = time.Now(), fe.config.Name
	fe.config.OnEvent(e)
}
