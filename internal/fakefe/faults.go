package fakefe

import (
	"fmt"
	"syscall"
	"time"
)

// Fault is a way to misbehave. An FE has one at a time.
type Fault int

// The faults.
const (
	// None is a healthy FE.
	None Fault = iota
	// Refuse closes both listeners, as when no process is there. Present connections stay.
	Refuse
	// Kill is Refuse, and resets all connections (RST), as when the machine's kernel cleans up after a
	// process that was killed with data unread.
	Kill
	// Silent accepts connections and never greets them, as with no thread left for them. Those that wait when the fault ends
	// are greeted then.
	Silent
	// Hang accepts nothing: the kernel completes connections up to the backlog, and the process does not see them.
	// Present connections and HTTP work.
	Hang
	// Freeze is a process that is stopped, or thrashing: nothing is accepted, read or answered on any port, and
	// nothing is closed either. When the fault ends everything goes on.
	Freeze
	// ErrorFirst sends ERR 1040 as the first packet, without a greeting, and closes (Doris at its limit).
	ErrorFirst
	// ResetAfterGreeting greets, and resets the connection at the first byte that the client sends. At once would be
	// too soon: the reset could overtake the greeting, and even the client's connect.
	ResetAfterGreeting
	// FreezeMidResult stops sending in the middle of each result until the fault ends or the client goes.
	FreezeMidResult
	// FallBehind greets and logs in; statements fail, for they would be forwarded to a leader that is not
	// there, and /api/bootstrap says FAILED. /api/health says that all is well.
	FallBehind
	// Slow takes its time before each greeting and each answer: slowness. Nothing fails.
	Slow
	// BlackHole is a machine off the wire: nothing that is sent to it on connections or to the MySQL port is acknowledged any
	// more, and it is as silent as with Freeze. Linux only; Set fails elsewhere. When the fault ends, what has not been given
	// up meanwhile goes on; use Kill for a machine that has started anew.
	BlackHole
	// leavingGracefully and gone come from Leave.
	leavingGracefully
	gone
)

var faultNames = [...]string{
	"none", "refuse", "kill", "silent", "hang", "freeze", "error first", "reset after greeting", "freeze in mid-result",
	"fall behind", "slow", "black hole", "leaving", "gone",
}

// String is the fault's name, as in events.
func (f Fault) String() string {
	if f < 0 || int(f) >= len(faultNames) {
		return fmt.Sprintf("fault %d", int(f))
	}
	return faultNames[f]
}

// slowness is Slow's pause: long for a client, and short enough for any probe's timeout.
const slowness = 100 * time.Millisecond

func (f Fault) freezes() bool         { return f == Freeze || f == BlackHole }
func (f Fault) stopsAccept() bool     { return f == Hang || f.freezes() }
func (f Fault) closesListeners() bool { return f == Refuse || f == Kill || f == gone }

// Set makes the FE misbehave, instead of as it did before. When Set returns, new connections see the fault, and an earlier
// Leave is over. The error says that a port could not be opened again, or is ErrStopped.
func (fe *FE) Set(fault Fault) error {
	if fault < None || fault > BlackHole {
		return fmt.Errorf("fakefe: Set: unknown %v", fault)
	}
	fe.operations.Lock()
	defer fe.operations.Unlock()
	return fe.set(fault)
}

// Restore ends any fault or graceful leave: the FE is healthy again, and on its ports.
func (fe *FE) Restore() error { return fe.Set(None) }

// Fault is what the FE suffers from at present; a graceful leave is not one of the exported faults, but has a name.
func (fe *FE) Fault() Fault {
	f, _ := fe.present()
	return f
}

// set is Set with fe.operations held.
func (fe *FE) set(fault Fault) error {
	fe.endLeave()
	fe.mu.Lock()
	if fe.mu.stopped {
		fe.mu.Unlock()
		return ErrStopped
	}
	// The connections die before anybody is woken up by the change: else one that was frozen could still speak.
	if fault == Kill {
		fe.cutAll(true)
	}
	if l := fe.mysql.listener; l != nil && !fault.stopsAccept() {
		l.SetDeadline(time.Time{})
	}
	before := fe.mu.fault
	if before == BlackHole && fault != BlackHole {
		fe.turn(hearing)
	}
	fe.changeFault(fault)
	fe.mu.Unlock()
	if fault != before {
		fe.emit(Event{Kind: FaultSet, Detail: fault.String()})
	}

	if fault.closesListeners() {
		fe.close()
		return nil
	}
	if err := fe.open(); err != nil {
		return err
	}
	if fault.stopsAccept() {
		fe.mysql.listener.SetDeadline(longAgo)
		<-fe.parked
	}
	if fault == BlackHole {
		fe.mu.Lock()
		defer fe.mu.Unlock()
		return fe.turn(deaf)
	}
	return nil
}

// turn makes the MySQL port and all connections deaf, or hearing again. fe.mu is held.
func (fe *FE) turn(how func(syscall.Conn) error) error {
	var failed error
	if l := fe.mysql.listener; l != nil {
		failed = how(l)
	}
	for _, s := range fe.mu.sessions {
		_ = how(s.conn) // one that is over already
	}
	return failed
}

// longAgo as a deadline wakes up whoever waits in a read or an accept.
var longAgo = time.Unix(1, 0)

// changeFault sets the fault and wakes up everybody who waits for a change. fe.mu is held.
func (fe *FE) changeFault(fault Fault) {
	fe.mu.fault = fault
	close(fe.mu.changed)
	fe.mu.changed = make(chan struct{})
}

// present returns the fault and a channel that is closed when it changes.
func (fe *FE) present() (Fault, <-chan struct{}) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	return fe.mu.fault, fe.mu.changed
}

// alive is what the other members of a cluster would say of the FE.
func (fe *FE) alive() bool {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	return !fe.mu.stopped && !fe.mu.fault.closesListeners() && !fe.mu.fault.freezes()
}

// Cut ends the connection with this id, by RST if withReset is set, else by FIN. It reports false when there is none.
func (fe *FE) Cut(id uint32, withReset bool) bool {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	s := fe.mu.sessions[id]
	if s == nil {
		return false
	}
	s.cut(withReset)
	return true
}
