package fakefe

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fairlead/internal/mysqlwire"
)

// maxValue bounds what repeat() makes, in bytes: as much as a row may have.
const maxValue = 1 << 32

// selection evaluates SELECT item [[AS] alias], … [FROM DUAL] [LIMIT n].
type selection struct {
	s      *session
	sql    string
	tokens []token
	at     int
	depth  int // of nested calls
}

// maxDepth bounds nested calls, each of which takes some of the goroutine's stack.
const maxDepth = 100

// selectResult answers a SELECT. The error is a *mysqlwire.ServerError for the client, or ends the session.
func (s *session) selectResult(sql string, all []token) (*result, error) {
	e := selection{s: s, sql: sql, tokens: all, at: 1}
	r := &result{}
	var row []value
	for {
		v, name, err := e.item()
		if err != nil {
			return nil, err
		}
		column := mysqlwire.Column{Name: name}
		if v.number {
			column.Type, column.Length = mysqlwire.TypeLongLong, 20
		}
		r.columns, row = append(r.columns, column), append(row, v)
		if !e.accept(",") {
			break
		}
	}
	r.rows = [][]value{row}
	if e.accept("from") && !e.accept("dual") {
		return nil, e.unknown()
	}
	if e.accept("limit") {
		if e.next().text == "0" {
			r.rows = nil
		}
		e.at++
	}
	if e.next().kind != endToken {
		return nil, e.unknown()
	}
	return r, nil
}

func (e *selection) next() token {
	if e.at < len(e.tokens) {
		return e.tokens[e.at]
	}
	return token{kind: endToken, start: len(e.sql), end: len(e.sql)}
}

func (e *selection) accept(s string) bool {
	if !e.next().is(s) {
		return false
	}
	e.at++
	return true
}

// unknown is the error for what this front end can't evaluate.
func (e *selection) unknown() error {
	near := e.sql[min(e.next().start, len(e.sql)):]
	return &mysqlwire.ServerError{Code: 1064, State: "42000", Message: "The stand-in FE does not understand the statement near '" + shorten(near) + "'"}
}

// item evaluates one item of the list and names its column: by its alias, else by its text.
func (e *selection) item() (value, string, error) {
	// A column's name has at most 64 characters (mysql_com.h, NAME_CHAR_LEN).
	const longestName = 64
	start := e.next().start
	v, err := e.primary()
	if err != nil {
		return null, "", err
	}
	name := e.sql[start:e.tokens[e.at-1].end]
	name = strings.ToValidUTF8(name[:min(len(name), longestName)], "")
	hasAs := e.accept("as")
	if t := e.next(); t.kind == textToken || t.kind == wordToken && (hasAs || !t.is("from") && !t.is("limit")) {
		name = t.text
		e.at++
	} else if hasAs {
		return null, "", e.unknown()
	}
	return v, name, nil
}

func (e *selection) primary() (value, error) {
	t := e.next()
	e.at++
	switch t.kind {
	case numberToken:
		if strings.Contains(t.text, ".") {
			return text(t.text), nil
		}
		return number(t.text), nil
	case textToken:
		return text(t.text), nil
	case variableToken:
		return e.s.variable(t.text)
	case userToken:
		return null, nil
	case symbolToken:
		if n := e.next(); t.text == "-" && n.kind == numberToken {
			e.at++
			return value{pattern: []byte("-" + n.text), times: 1, number: !strings.Contains(n.text, ".")}, nil
		}
	case wordToken:
		return e.word(t)
	}
	e.at--
	return null, e.unknown()
}

// word evaluates a constant or a function.
func (e *selection) word(t token) (value, error) {
	name := strings.ToLower(t.text)
	if e.accept("(") {
		if e.depth++; e.depth > maxDepth {
			return null, e.unknown()
		}
		defer func() { e.depth-- }()
		var args []value
		for !e.accept(")") {
			v, err := e.primary()
			if err != nil {
				return null, err
			}
			args = append(args, v)
			if !e.accept(",") && !e.next().is(")") {
				return null, e.unknown()
			}
		}
		return e.s.call(name, args)
	}
	switch name {
	case "null":
		return null, nil
	case "true":
		return number("1"), nil
	case "false":
		return number("0"), nil
	case "current_user":
		return e.s.call(name, nil)
	}
	return null, &mysqlwire.ServerError{Code: 1054, State: "42S22", Message: "Unknown column '" + t.text + "' in 'field list'"}
}

// call evaluates a function.
func (s *session) call(name string, args []value) (value, error) {
	arity := map[string]int{"sleep": 1, "repeat": 2, "length": 1, "md5": 1}[name]
	if len(args) != arity {
		return null, wrongCall(name)
	}
	switch name {
	case "connection_id":
		return number(strconv.FormatUint(uint64(s.id), 10)), nil
	case "database", "schema":
		if s.database == "" {
			return null, nil
		}
		return text(s.database), nil
	case "user", "current_user", "session_user", "system_user":
		return text("'" + s.user + "'@'" + s.client.Addr().String() + "'"), nil
	case "version":
		return text(s.fe.config.Version), nil
	case "now", "current_timestamp":
		return text(time.Now().Format(time.DateTime)), nil
	case "last_insert_id", "row_count", "found_rows":
		return number("0"), nil
	case "length":
		return number(strconv.Itoa(args[0].size())), nil
	case "md5":
		return text(args[0].md5()), nil
	case "repeat":
		return repeat(args[0], args[1])
	case "sleep":
		return s.callSleep(args[0])
	}
	return null, &mysqlwire.ServerError{Code: 1064, State: "42000", Message: "No matching function with signature: " + name}
}

func wrongCall(name string) error {
	return &mysqlwire.ServerError{Code: 1064, State: "42000", Message: fmt.Sprintf("No matching function with these arguments: %s", name)}
}

// md5 is the checksum of the value in hex, made without the whole value.
func (v value) md5() string {
	h := md5.New()
	for range v.times {
		h.Write(v.pattern)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func repeat(v, times value) (value, error) {
	n, err := strconv.Atoi(times.string())
	if err != nil || v.isNull() || v.times != 1 {
		return null, wrongCall("repeat")
	}
	if len(v.pattern) == 0 {
		return text(""), nil
	}
	if n = max(n, 0); n > maxValue/len(v.pattern) {
		return null, &mysqlwire.ServerError{Code: 1301, State: "HY000", Message: "Result of repeat() was larger than max_allowed_packet"}
	}
	return value{pattern: v.pattern, times: n}, nil
}

// callSleep waits and returns 1, as StarRocks does.
func (s *session) callSleep(v value) (value, error) {
	seconds, err := strconv.ParseFloat(v.string(), 64)
	if err != nil || seconds < 0 || seconds > float64(math.MaxInt64/int64(time.Second)) {
		return null, wrongCall("sleep")
	}
	err = s.sleep(time.Duration(seconds * float64(time.Second)))
	if err == errKilled {
		return null, &mysqlwire.ServerError{Code: 1317, State: "70100", Message: "Query execution was interrupted"}
	}
	return number("1"), err
}
