package balancer

import (
	"fmt"
	"sync"

	"fairlead/internal/mysqlwire"
)

// logins counts a listener's sessions by user and by database. It knows only those that have a session now, so that it
// never grows beyond the number of sessions.
type logins struct {
	mu struct {
		sync.Mutex
		users, databases map[word]int
	}
}

// limitError is a login beyond one of the listener's limits.
type limitError struct {
	reason string
	answer *mysqlwire.ServerError
}

func (e *limitError) Error() string { return "balancer: " + e.answer.Message }

// enter counts a session, where limits ask for it, or tells which limit does not let it in. A limit of 0 is none.
func (l *logins) enter(who identity, perUser, perDatabase int) *limitError {
	l.mu.Lock()
	defer l.mu.Unlock()
	if perUser > 0 && l.mu.users[who.user] >= perUser {
		return &limitError{"user_full", &mysqlwire.ServerError{Code: 1203, State: "42000",
			Message: fmt.Sprintf("fairlead: user %.64q already has its max_sessions_per_user of %d", who.user, perUser)}}
	}
	if perDatabase > 0 && who.database != (word{}) && l.mu.databases[who.database] >= perDatabase {
		return &limitError{"database_full", &mysqlwire.ServerError{Code: 1226, State: "42000",
			Message: fmt.Sprintf("fairlead: database %.64q has its max_sessions_per_database of %d", who.database, perDatabase)}}
	}
	l.mu.users = more(l.mu.users, who.user, 1)
	l.mu.databases = more(l.mu.databases, who.database, 1)
	return nil
}

// leave takes back an enter that let a session in.
func (l *logins) leave(who identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.users = more(l.mu.users, who.user, -1)
	l.mu.databases = more(l.mu.databases, who.database, -1)
}

func more(counts map[word]int, of word, by int) map[word]int {
	if counts == nil {
		counts = map[word]int{}
	}
	if counts[of] += by; counts[of] == 0 {
		delete(counts, of)
	}
	return counts
}

// countLogin counts the session among those of its user and its database. A login over TLS can't be read, and
// is not counted.
func (s *session) countLogin(tls bool) error {
	c := &s.terms.ListenerConfig
	if tls || c.MaxSessionsPerUser == 0 && c.MaxSessionsPerDatabase == 0 {
		return nil
	}
	if full := s.listener.logins.enter(s.login, c.MaxSessionsPerUser, c.MaxSessionsPerDatabase); full != nil {
		return full
	}
	s.counted = true
	return nil
}
