package balancer

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// SessionRecord is one line of the session log.
type SessionRecord struct {
	ID       uint64
	Listener string
	Pool     string
	Backend  string // empty when the session reached none
	Client   netip.AddrPort
	// ConnectionID, User, Database and Program are from greeting and login, where they could be read. They are the
	// peers' words: quote them.
	ConnectionID            uint32
	User, Database, Program string
	NotMoved                string // why the login stayed with the pool that greeted, where a route might lead elsewhere
	ToServer, ToClient      uint64 // bytes
	Started                 time.Time
	Connect, Greeting       time.Duration // of the backend that served; 0 when none did
	Duration                time.Duration // from the accept to the end
	End                     string        // empty in a record of a session that has begun
	// Lost is how many records were dropped, because their reader was too slow, since it was given the one before this.
	Lost uint64
}

// recordsWaiting is how many records may wait for their reader: a second of a very busy node, some 8 MB.
const recordsWaiting = 16384

// sessionRecords carries records from the event loops to whoever writes them down, and never holds a loop up.
type sessionRecords struct {
	tell     bool        // of sessions that begin
	wanted   func() bool // may be nil
	waiting  chan SessionRecord
	lost     atomic.Uint64
	done     chan struct{}
	closing  sync.Once
	consumer func(SessionRecord)
}

func newSessionRecords(consumer func(SessionRecord), begun bool) *sessionRecords {
	r := &sessionRecords{tell: begun, consumer: consumer, done: make(chan struct{})}
	if consumer == nil {
		close(r.done)
		return r
	}
	r.waiting = make(chan SessionRecord, recordsWaiting)
	go r.run()
	return r
}

func (r *sessionRecords) run() {
	defer close(r.done)
	for record := range r.waiting {
		record.Lost = r.lost.Swap(0)
		r.consumer(record)
	}
}

func (r *sessionRecords) begun(s *session) {
	if r.tell {
		r.put(s.record(time.Now(), ""))
	}
}

func (r *sessionRecords) ended(s *session, over time.Time, end string) {
	if r.waiting != nil && (r.wanted == nil || r.wanted()) {
		r.put(s.record(over, end))
	}
}

func (r *sessionRecords) put(record SessionRecord) {
	select {
	case r.waiting <- record:
	default:
		r.lost.Add(1)
	}
}

// close waits until all records are written down. No session may be under way.
func (r *sessionRecords) close() {
	r.closing.Do(func() {
		if r.waiting != nil {
			close(r.waiting)
		}
	})
	<-r.done
}

func (s *session) record(now time.Time, end string) SessionRecord {
	record := SessionRecord{ID: s.id, Listener: s.listener.name, Pool: s.pool.name, Client: s.client,
		ConnectionID: s.login.connectionID, User: s.login.user.String(), Database: s.login.database.String(), Program: s.login.program.String(),
		ToServer: s.toServer.Load(), ToClient: s.toClient.Load(), Started: s.started, Duration: now.Sub(s.started), NotMoved: s.stayed, End: end}
	if s.lease != nil {
		record.Backend = s.lease.Backend.Name
		record.Connect, record.Greeting = s.connect, s.greeting
	}
	return record
}
