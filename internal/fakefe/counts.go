package fakefe

// State is where a connection stands.
type State int

// The states of a connection, in order.
const (
	// Waiting is accepted and not greeted.
	Waiting State = iota
	// LoggingIn is greeted and not logged in.
	LoggingIn
	// Idle is logged in and between commands.
	Idle
	// Busy has a command in work, a frozen result and a sleep included.
	Busy
	// ended is out of the table.
	ended
)

// Counts tells what an FE has and had.
type Counts struct {
	// Accepted, Logins, Denied and Queries count from the start: connections; successful logins, COM_CHANGE_USER not
	// counted; connections ended by an error, such as a wrong password or a packet that can't be read; statements.
	Accepted, Logins, Denied, Queries uint64
	// Present counts the connections of each State: Waiting, LoggingIn, Idle, Busy.
	Present [ended]int
}

// Connections is the number of present connections.
func (c Counts) Connections() int {
	return c.Present[Waiting] + c.Present[LoggingIn] + c.Sessions()
}

// Sessions is the number of present connections that have logged in.
func (c Counts) Sessions() int {
	return c.Present[Idle] + c.Present[Busy]
}

// Counts returns the FE's counts.
func (fe *FE) Counts() Counts {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	return fe.mu.counts
}

// Sessions is the number of present connections that have logged in.
func (fe *FE) Sessions() int { return fe.Counts().Sessions() }

// count moves a session, new or counted, to a state. fe.mu is held.
func (fe *FE) count(s *session, state State) {
	if s.counted {
		fe.mu.counts.Present[s.state]--
	}
	s.state, s.counted = state, state != ended
	if s.counted {
		fe.mu.counts.Present[state]++
	}
	fe.tellWatchers()
}

// tellWatchers wakes up Await. fe.mu is held.
func (fe *FE) tellWatchers() {
	if fe.mu.watchers != nil {
		close(fe.mu.watchers)
		fe.mu.watchers = nil
	}
}
