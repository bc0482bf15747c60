package splice

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"fairlead/balancer/idle"
)

// Engine carries the sessions of any number of listeners. Its methods may be called from any goroutine.
type Engine interface {
	// Listen opens a listening socket and calls setup for each connection that it accepts.
	Listen(options ListenOptions, setup Setup) (Acceptor, error)
	// Sessions counts the sessions under way, those being set up among them, on each loop; the
	// engine of goroutines has one figure.
	Sessions() []int
	// EndIdle ends those of these sessions, most of them at most, that are idle between statements as Joint.Idler tells, in
	// which nothing has moved for quiet, and for which nothing has arrived on either side. It returns how many. Both
	// sides are closed in order. It waits for the loops: set-ups and Owners must not call it.
	EndIdle(tasks []Task, quiet time.Duration, most int, end End) int
	// Close cuts every session, waits until all of them have ended, and frees what the engine holds. Acceptors
	// are to be closed before.
	Close()
}

// Setup is the life of a session up to its Join, as straight-line code. It must not block other than in the methods
// of its Task, for it may share its thread with other sessions. When it returns without Join, the engine closes
// every socket that it left open.
type Setup func(Task)

// Acceptor is one listening socket.
type Acceptor interface {
	// Address is where it listens, with the port that the kernel chose when 0 was asked for.
	Address() netip.AddrPort
	// File is a duplicate of the listening socket, to be handed to another process.
	File() (*os.File, error)
	// Accept lets in who has come and who comes; it is for a listening socket that was opened with Held.
	Accept()
	// Tune changes what ListenOptions said of Backlog and Keepalive, for connections that are accepted from now on.
	Tune(backlog int, keepalive time.Duration)
	// Close takes what the kernel has queued, stops listening, and waits until no set-up will be started any
	// more. Sessions go on. Set-ups and Owners must not call it: it waits for the loop that they run on.
	Close()
}

// ListenOptions describes one listening socket.
type ListenOptions struct {
	// Address to listen on; an unspecified IPv6 address takes IPv4 clients too, port 0 lets the kernel choose.
	Address netip.AddrPort
	// File, when set, is a socket that listens already (handed over by another process); Address is then
	// only a name.
	File *os.File
	// Backlog is the kernel's queue of connections not yet accepted; 0 means 4096. The kernel caps it at
	// net.core.somaxconn.
	Backlog int
	// Keepalive is how long an accepted connection may be silent before the kernel probes its peer; 0 turns
	// that off.
	Keepalive time.Duration
	// FreeBind allows an address that this host does not have yet, such as a VIP held by another node
	// (IP_FREEBIND, ip(7)). Linux only.
	FreeBind bool
	// Held accepts nobody before Accept is called: who connects meanwhile waits in the kernel's queue, and is turned away
	// by a Close.
	Held bool
	// Beside are listening sockets whose addresses overlap with Address, such as 127.0.0.1:9030 with 0.0.0.0:9030, and that
	// are about to be closed: for the moment both listen. Among them the kernel prefers the narrower address.
	Beside []Acceptor
	// Trouble, when set, is told when accepting fails, for want of descriptors or memory in most cases, and is called
	// with nil once it has worked again for a while: once each. It must not block.
	Trouble func(error)

	calm time.Duration // instead of the usual one, in tests
}

// besideOthers opens a listening socket while those of o.Beside share their addresses.
func besideOthers[T any](o ListenOptions, open func() (T, error)) (T, error) {
	for _, a := range o.Beside {
		file, err := a.File() // a second descriptor of the same socket
		if err != nil {
			continue // closed meanwhile
		}
		defer file.Close()
		if raw, err := file.SyscallConn(); err == nil && shareAddress(raw, true) == nil {
			defer func() { _ = shareAddress(raw, false) }()
		}
	}
	return open()
}

// Task is one session, as its set-up sees it. Only Wake, Cut and Keepalive may be called from other goroutines, and
// only these after Join.
type Task interface {
	// Now is the time, as the session's loop knows it: it may be behind by as much as the loop has done since it last
	// waited or began a set-up, and costs no look at the clock. It is for what runs on the loop: the set-up and the Owner.
	Now() time.Time
	// Client is the accepted connection.
	Client() Conn
	// WatchClient makes every wait for something else than the client end with ErrClientGone once the
	// client has closed its side. It is for protocols in which a client that sends nothing more has given up.
	// The engine of goroutines notices the client's end only when it next reads or writes there.
	WatchClient(on bool)
	// Dial connects to a backend. from, when valid, is the local address. Errors: ErrTimeout, ErrClientGone,
	// ErrCut, or the kernel's (a syscall.Errno somewhere in the chain).
	Dial(to netip.AddrPort, from netip.Addr, deadline time.Time) (Conn, error)
	// ReadEither reads from the client or from server, whichever has something first, and says which.
	ReadEither(server Conn, p []byte, deadline time.Time) (from Conn, n int, err error)
	// Park suspends the set-up until Wake (nil), the deadline (ErrTimeout), the client's end or a cut. A Wake
	// that came before Park is not lost.
	Park(deadline time.Time) error
	// Wake ends the present or the next Park.
	Wake()
	// Join hands the client and joint.Server over to the engine, as the last act of a set-up: from its return
	// on, bytes flow both ways until the session ends and joint.Owner is told.
	Join(Joint)
	// Cut ends the session, whatever it does: a joined session ends with end, and a set-up sees ErrCut wherever it would
	// have to wait. What it can do at once, such as telling its client why, still works.
	Cut(end End)
	// Keepalive sets how the kernel watches over the server's side; one that comes before the Join takes the
	// place of the Joint's.
	Keepalive(Keepalive)
}

// Conn is one socket of a set-up, and of no use once that has returned. A deadline of zero means none. Errors of all methods: ErrTimeout,
// ErrClientGone, ErrCut, or the kernel's.
type Conn interface {
	// Read returns at least one byte, or an error; io.EOF after the peer's FIN.
	Read(p []byte, deadline time.Time) (int, error)
	// Write sends all of p.
	Write(p []byte, deadline time.Time) error
	// Pending tells, without waiting, whether the peer has sent something that was not read yet, or its end.
	Pending() bool
	// Remote and Local are the two ends' addresses, IPv4 as such also on an IPv6 socket.
	Remote() netip.AddrPort
	Local() netip.AddrPort
	// Close sends what was written, then FIN; but where the peer has sent something that was not read, the kernel sends
	// RST. Abort sends RST in any case, and drops what is not sent yet.
	Close()
	Abort()
}

// Joint is what a Join needs to know.
type Joint struct {
	// Server is a connection made by Dial.
	Server Conn
	// Idle ends the session when nothing moved for so long; 0 means never.
	Idle time.Duration
	// Linger ends it when one side has finished and the other one was silent for so long; 0 means never.
	Linger time.Duration
	// Proof ends the session when it is over and the session has not changed direction Turns times by then: a client
	// and a server that take turns, as in a login that can't be read. Zero Turns ask for nothing.
	Proof time.Time
	Turns int
	// Settled says that nothing is outstanding between the two: when the client finishes before a byte has moved,
	// the server has nothing to send to it any more, and both sides are closed at once. Half of what the end of a short
	// session costs is saved.
	Settled bool
	// Keepalive is for the server's socket; nil means none. It must not be changed any more.
	Keepalive *Keepalive
	// Idler follows what the two say, for EndIdle. Its zero value follows nothing, and such a session is never idle.
	Idler idle.Tracker
	// Owner is told what happens.
	Owner Owner
}

// Owner is told of a joined session. Its methods run on the session's loop and must not block.
type Owner interface {
	// Moved reports bytes carried since the last call, about once a second while there are any, and before Ended.
	Moved(toServer, toClient uint64)
	// Ended is the last call. Both sockets are closed by then.
	Ended(End)
}

// Keepalive says how the kernel finds out that a silent peer is gone (tcp(7)). The zero value means that it does
// not try.
type Keepalive struct {
	// Idle is the silence before the first probe, Interval the time between probes; Linux counts whole seconds.
	Idle, Interval time.Duration
	// Count is how many probes may stay without an answer.
	Count int
	// UserTimeout bounds how long sent data may stay unacknowledged (TCP_USER_TIMEOUT); 0 means the kernel's usual.
	UserTimeout time.Duration
}

// End is the way a session ended.
type End uint8

const (
	// Unfinished is the zero End: the session has not ended.
	Unfinished End = iota
	// ClientClosed and ServerClosed are orderly: that side sent its FIN first, and the other side followed.
	ClientClosed
	ServerClosed
	// ClientReset and ServerReset: that side broke the connection.
	ClientReset
	ServerReset
	// ClientDead and ServerDead: the kernel gave up on a peer that did not answer (ETIMEDOUT and its like).
	ClientDead
	ServerDead
	// IdleTimeout: nothing moved for Joint.Idle.
	IdleTimeout
	// LingerTimeout: one side had finished, the other was silent for Joint.Linger.
	LingerTimeout
	// Unproven: Joint.Proof came before Joint.Turns.
	Unproven
	// DrainedIdle and Rebalanced are sessions that EndIdle has ended, on a backend that is being drained, and on one that
	// has more than its share.
	DrainedIdle
	Rebalanced
	// The rest are reasons for a Cut.
	Drained     // by a shutdown or a drain whose time was over
	Killed      // by a person
	BackendDown // its backend went down, and such sessions are to be closed
)

var endNames = [...]string{
	Unfinished: "unfinished", ClientClosed: "client_closed", ServerClosed: "server_closed",
	ClientReset: "client_reset", ServerReset: "server_reset", ClientDead: "client_dead",
	ServerDead: "backend_dead", IdleTimeout: "idle_timeout", LingerTimeout: "linger_timeout",
	Unproven: "login_timeout", DrainedIdle: "drained_idle", Rebalanced: "rebalanced",
	Drained: "drained", Killed: "killed", BackendDown: "backend_down",
}

// String is the end's name in logs and metrics.
func (e End) String() string {
	if int(e) < len(endNames) {
		return endNames[e]
	}
	return fmt.Sprintf("end_%d", uint8(e))
}

var (
	// ErrTimeout is a deadline that has passed.
	ErrTimeout = errors.New("splice: deadline passed")
	// ErrClientGone is a client that closed while its set-up waited for something else.
	ErrClientGone = errors.New("splice: client has gone")
	// ErrCut is a session ended by Cut or by the engine's Close.
	ErrCut = errors.New("splice: session cut")
)

// Options sizes an engine. The zero value is fit for use, without pipes.
type Options struct {
	// Kind is "auto" or "" (loops where there are any), "loops" or "goroutines".
	Kind string
	// Loops is the number of event loops; 0 means one for each processor usable.
	Loops int
	// Pipes bounds the pipes of one loop; 0 means that bulk data is copied.
	Pipes int
	// PipeSize is the capacity asked for each pipe, in bytes; 0 means 512 KiB.
	PipeSize int
	// Panicked, when set, is told of a set-up that panicked, with its stack; its session is closed and the
	// others go on. Without it the panic takes its usual way.
	Panicked func(value any, stack []byte)
}

// usable is how many processors the process may use, as the Go runtime found it at the start (affinity and cgroup limits
// included), before any engine asked for one more.
var usable = runtime.GOMAXPROCS(0)

// New starts an engine.
func New(o Options) (Engine, error) {
	if o.Loops <= 0 {
		o.Loops = usable
	}
	if o.PipeSize <= 0 {
		o.PipeSize = 512 << 10
	}
	switch o.Kind {
	case "", "auto":
		if loopsSupported {
			return newLoops(o)
		}
		return newGoroutines(o), nil
	case "loops":
		if !loopsSupported {
			return nil, fmt.Errorf("splice: no event loops on %s: use \"goroutines\" or \"auto\"", runtime.GOOS)
		}
		return newLoops(o)
	case "goroutines":
		return newGoroutines(o), nil
	}
	return nil, fmt.Errorf("splice: unknown engine %q: use \"auto\", \"loops\" or \"goroutines\"", o.Kind)
}
