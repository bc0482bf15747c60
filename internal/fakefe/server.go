package fakefe

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"fairlead/internal/mysqlwire"
)

// ErrStopped is returned by methods of an FE after Stop.
var ErrStopped = errors.New("fakefe: the front end is stopped")

// FE is a running front end. Its methods may be called from any goroutine.
type FE struct {
	config      Config
	mysql, http *endpoint
	started     time.Time

	// operations serialises what starts and stops listeners: Set, Leave, Stop.
	operations sync.Mutex
	// leaving belongs to operations: the graceful leave under way, if any.
	leaving *leave
	// parked is written by the loop that accepts while a fault stops it, so that set can wait for that.
	parked chan struct{}
	// work counts every goroutine of the FE but those of net/http, which http.Server waits for.
	work sync.WaitGroup

	mu struct {
		sync.Mutex
		fault    Fault
		changed  chan struct{} // closed and replaced with each change of fault
		stopped  bool
		role     Role
		sessions map[uint32]*session
		lastID   uint32
		counts   Counts
		watchers chan struct{} // nil, or closed at the next change of counts
		answers  map[string]Answer
		list     func() []Frontend // nil: the FE alone
	}
}

// Start starts an FE: when it returns, both ports listen. Stop ends it.
func Start(config Config) (*FE, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	fe := &FE{config: config, started: time.Now(), parked: make(chan struct{})}
	fe.mu.changed = make(chan struct{})
	fe.mu.role = config.Role
	fe.mu.sessions = make(map[uint32]*session)
	fe.mu.answers = make(map[string]Answer)
	if fe.mysql, err = newEndpoint(config.Listen, fe.serveMySQL); err != nil {
		return nil, err
	}
	if fe.http, err = newEndpoint(config.HTTPListen, fe.serveHTTP); err != nil {
		fe.mysql.release()
		return nil, err
	}
	if err := fe.open(); err != nil {
		fe.release()
		return nil, err
	}
	return fe, nil
}

// Name is the FE's name, which it answers to @@hostname.
func (fe *FE) Name() string { return fe.config.Name }

// Address is the host and port that speak MySQL. It stays the same for good.
func (fe *FE) Address() string { return fe.mysql.address.String() }

// HTTPAddress is the host and port that speak HTTP. It stays the same for good.
func (fe *FE) HTTPAddress() string { return fe.http.address.String() }

// Stop ends the FE as if its process had been told to: listeners closed, connections ended. It returns when all goroutines
// of the FE have ended; a second call does nothing.
func (fe *FE) Stop() {
	fe.operations.Lock()
	defer fe.operations.Unlock()
	fe.endLeave()
	fe.mu.Lock()
	already := fe.mu.stopped
	fe.mu.stopped = true
	fe.changeFault(Refuse)
	fe.cutAll(false)
	fe.mu.Unlock()
	if already {
		return
	}
	fe.close()
	fe.work.Wait()
	fe.release()
}

// open makes both ports listen, as far as they don't yet.
func (fe *FE) open() error {
	if err := fe.mysql.open(); err != nil {
		return err
	}
	if err := fe.http.open(); err != nil {
		fe.mysql.close()
		return err
	}
	return nil
}

// close stops listening on both ports. When it returns no connection can come in any more.
func (fe *FE) close() {
	fe.mysql.close()
	fe.http.close()
}

func (fe *FE) release() {
	fe.close()
	fe.mysql.release()
	fe.http.release()
}

// serveMySQL accepts connections until the listener is closed.
func (fe *FE) serveMySQL(l *net.TCPListener) {
	const longestPause = time.Second
	pause := time.Millisecond
	for {
		fault, changed := fe.present()
		if fault.stopsAccept() {
			select {
			case <-changed:
			case fe.parked <- struct{}{}:
			}
			continue
		}
		conn, err := l.AcceptTCP()
		switch {
		case err == nil:
			pause = time.Millisecond
			fe.admit(conn)
		case errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			// Set has woken this loop up: look at the fault.
		default:
			// Out of descriptors, say: time may help, and a closed listener says so at the next Accept.
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-changed:
				timer.Stop()
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// admit starts a session, unless the FE plays dead.
func (fe *FE) admit(conn *net.TCPConn) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	if fe.mu.stopped || fe.mu.fault.closesListeners() {
		reset(conn)
		return
	}
	fe.mu.counts.Accepted++
	s := newSession(fe, conn, fe.nextID())
	fe.mu.sessions[s.id] = s
	fe.count(s, Waiting)
	fe.work.Add(1)
	go s.serve()
}

// nextID returns a connection id that no session has: the FE's number in the top 8 bits, a counter below. fe.mu is held.
func (fe *FE) nextID() uint32 {
	for {
		fe.mu.lastID = (fe.mu.lastID + 1) & (1<<24 - 1)
		id := uint32(fe.config.Number)<<24 | fe.mu.lastID
		if fe.mu.sessions[id] == nil && fe.mu.lastID != 0 {
			return id
		}
	}
}

// cutAll ends all connections, with RST or with FIN. fe.mu is held.
func (fe *FE) cutAll(withReset bool) {
	for _, s := range fe.mu.sessions {
		s.cut(withReset)
	}
}

// reset closes a connection with RST instead of FIN.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// Role is the FE's present role.
func (fe *FE) Role() Role {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	return fe.mu.role
}

// SetRole changes the role that the FE tells in /metrics and in SHOW FRONTENDS. In a Cluster, MoveLeader does
// it for all members.
func (fe *FE) SetRole(role Role) {
	fe.mu.Lock()
	elected := role == Leader && fe.mu.role != Leader
	fe.mu.role = role
	fe.mu.Unlock()
	if elected {
		fe.emit(Event{Kind: Elected})
	}
}

// Answer is what a scripted statement gets: Err, or a result with these columns of text. A nil in a row is NULL; with no
// columns the answer is OK.
type Answer struct {
	Columns []string
	Rows    [][]any // string, []byte or nil
	Err     *mysqlwire.ServerError
}

// Answer makes the FE answer a statement as given, also one that it knows itself. Case, spacing and a
// semicolon at the end of the statement don't matter.
func (fe *FE) Answer(statement string, answer Answer) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	fe.mu.answers[canonical(statement)] = answer
}

// Forget takes back what Answer has set for a statement.
func (fe *FE) Forget(statement string) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	delete(fe.mu.answers, canonical(statement))
}

// answer looks up a scripted answer.
func (fe *FE) answer(statement string) (Answer, bool) {
	fe.mu.Lock()
	defer fe.mu.Unlock()
	if len(fe.mu.answers) == 0 {
		return Answer{}, false
	}
	a, ok := fe.mu.answers[canonical(statement)]
	return a, ok
}

// Await returns nil as soon as the counts are as done wants them, or the context's error. done is called with
// the FE locked: it must not call its methods.
func (fe *FE) Await(ctx context.Context, done func(Counts) bool) error {
	for {
		fe.mu.Lock()
		if done(fe.mu.counts) {
			fe.mu.Unlock()
			return nil
		}
		if fe.mu.watchers == nil {
			fe.mu.watchers = make(chan struct{})
		}
		changed := fe.mu.watchers
		fe.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
