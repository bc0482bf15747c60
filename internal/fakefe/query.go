package fakefe

import (
	"errors"
	"sort"
	"strconv"
	"strings"

	"fairlead/internal/mysqlwire"
)

// errBehind answers statements on an FE that has fallen behind without a leader to ask. (inferred: the real text
// depends on the version)
var errBehind = &mysqlwire.ServerError{
	Code: 1064, State: "HY000", Message: "The FE has fallen behind and there is no leader to forward the statement to",
}

// query answers a statement, in the text or the binary protocol; an error ends the session.
func (s *session) query(sql string, binary bool) error {
	s.beginStatement(sql)
	r, err := s.evaluate(sql)
	var refused *mysqlwire.ServerError
	switch {
	case errors.As(err, &refused):
		return s.writeError(refused)
	case err != nil:
		return err
	case r == nil:
		return s.writeOK()
	}
	return s.writeResult(r, binary)
}

func (s *session) beginStatement(sql string) {
	s.fe.mu.Lock()
	s.fe.mu.counts.Queries++
	s.fe.tellWatchers()
	s.fe.mu.Unlock()
	s.emit(Queried, shorten(sql))
}

// evaluate finds the answer to a statement: a result, OK (neither result nor error), or an error, which is a
// *mysqlwire.ServerError for the client or ends the session.
func (s *session) evaluate(sql string) (*result, error) {
	all := tokens(sql)
	if len(all) == 0 {
		if strings.Contains(sql, "/*!") {
			return nil, nil // a statement for other versions than this one
		}
		return nil, &mysqlwire.ServerError{Code: 1065, State: "42000", Message: "Query was empty"}
	}
	if fault, _ := s.fe.present(); fault == FallBehind && !all[0].is("set") {
		return nil, errBehind
	}
	if a, ok := s.fe.answer(sql); ok {
		return a.result()
	}
	switch strings.ToLower(all[0].text) {
	case "select":
		return s.selectResult(sql, all)
	case "show":
		return s.show(sql, all[1:])
	case "set", "begin", "start", "commit", "rollback":
		return nil, nil
	case "use":
		if len(all) == 2 {
			s.identify(s.user, all[1].text)
			return nil, nil
		}
	case "kill":
		return nil, s.killStatement(sql, all[1:])
	}
	return nil, unknownStatement(sql)
}

func unknownStatement(sql string) error {
	return &mysqlwire.ServerError{Code: 1064, State: "42000", Message: "The stand-in FE does not understand the statement '" + shorten(sql) + "'"}
}

// result is a scripted answer as evaluate returns it.
func (a Answer) result() (*result, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	if len(a.Columns) == 0 {
		return nil, nil
	}
	r := textResult(a.Columns...)
	for _, fields := range a.Rows {
		row := make([]value, len(a.Columns))
		for i := range row {
			if i >= len(fields) {
				break
			}
			switch f := fields[i].(type) {
			case string:
				row[i] = text(f)
			case []byte:
				row[i] = text(string(f))
			}
		}
		r.rows = append(r.rows, row)
	}
	return r, nil
}

// killStatement is KILL [CONNECTION | QUERY] id.
func (s *session) killStatement(sql string, rest []token) error {
	onlyQuery := false
	if len(rest) == 2 {
		onlyQuery = rest[0].is("query")
		rest = rest[1:]
	}
	if len(rest) != 1 {
		return unknownStatement(sql)
	}
	id, err := strconv.ParseUint(rest[0].text, 10, 32)
	if err != nil || !s.fe.kill(uint32(id), onlyQuery) {
		return noSuchConnection(rest[0].text)
	}
	return nil
}

func noSuchConnection(id string) *mysqlwire.ServerError {
	return &mysqlwire.ServerError{Code: 1094, State: "HY000", Message: "Unknown thread id: " + id}
}

// answerKill is COM_PROCESS_KILL.
func (s *session) answerKill(id uint32, onlyQuery bool) error {
	if !s.fe.kill(id, onlyQuery) {
		return s.writeError(noSuchConnection(strconv.FormatUint(uint64(id), 10)))
	}
	return s.writeOK()
}

// show answers SHOW; rest is what follows the word.
func (s *session) show(sql string, rest []token) (*result, error) {
	for len(rest) > 0 && (rest[0].is("session") || rest[0].is("global") || rest[0].is("full")) {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return nil, unknownStatement(sql)
	}
	switch strings.ToLower(rest[0].text) {
	case "frontends":
		return s.fe.frontends(), nil
	case "databases", "schemas":
		r := textResult("Database")
		r.add("_statistics_")
		r.add("information_schema")
		return r, nil
	case "tables":
		return textResult("Tables_in_" + s.database), nil
	case "variables":
		return s.showVariables(rest[1:]), nil
	case "processlist":
		return s.fe.processlist(), nil
	case "status":
		return textResult("Variable_name", "Value"), nil
	case "warnings", "errors":
		return textResult("Level", "Code", "Message"), nil
	}
	return nil, unknownStatement(sql)
}

// processlist is SHOW PROCESSLIST: the connections that have logged in.
func (fe *FE) processlist() *result {
	r := textResult("Id", "User", "Host", "Db", "Command", "State")
	fe.mu.Lock()
	defer fe.mu.Unlock()
	ids := make([]uint32, 0, len(fe.mu.sessions))
	for id, s := range fe.mu.sessions {
		if s.state == Idle || s.state == Busy {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		s := fe.mu.sessions[id]
		command := "Sleep"
		if s.state == Busy {
			command = "Query"
		}
		r.add(strconv.FormatUint(uint64(id), 10), s.user, s.client.String(), s.database, command, "OK")
	}
	return r
}
