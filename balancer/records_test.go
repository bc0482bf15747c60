package balancer

import (
	"testing"
	"time"
)

// recordOf is a session fit for a record.
func recordOf(id uint64) *session {
	return &session{id: id, listener: &Listener{name: "mysql"}, pool: &Pool{name: "fe"}, started: time.Now()}
}

// TestRecordsNeverHoldUp who tells of them: when their reader is slow they are lost, and counted.
func TestRecordsNeverHoldUp(t *testing.T) {
	reading, slow := make(chan SessionRecord), make(chan struct{})
	r := newSessionRecords(func(s SessionRecord) {
		reading <- s
		<-slow
	}, false)
	now := time.Now()
	r.ended(recordOf(0), now, "first")
	if s := <-reading; s.ID != 0 || s.End != "first" || s.Lost != 0 {
		t.Fatalf("%+v", s)
	}
	const lost = 100
	for id := range uint64(recordsWaiting + lost) { // as many as have a place, and some more
		r.ended(recordOf(id+1), now, "more")
	}
	close(slow)
	for id := range uint64(recordsWaiting) {
		want := uint64(0)
		if id == 0 {
			want = lost
		}
		if s := <-reading; s.ID != id+1 || s.Lost != want {
			t.Fatalf("%+v, want number %d and %d lost", s, id+1, want)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.close()
		r.close()
	}()
	<-done
}

func TestRecordsOfSessionsThatBegin(t *testing.T) {
	for _, tell := range []bool{false, true} {
		var got []SessionRecord
		r := newSessionRecords(func(s SessionRecord) { got = append(got, s) }, tell)
		s := recordOf(1)
		r.begun(s)
		r.ended(s, time.Now(), "client_closed")
		r.close()
		if tell && (len(got) != 2 || got[0].End != "" || got[1].End != "client_closed") || !tell && len(got) != 1 {
			t.Errorf("told of the beginning: %v, got %+v", tell, got)
		}
	}
}

func TestNobodyReadsRecords(t *testing.T) {
	r := newSessionRecords(nil, true)
	r.begun(recordOf(1))
	r.ended(recordOf(1), time.Now(), "client_closed")
	r.close()
}
