package fakefe

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"fairlead/internal/mysqlwire"
)

// prepared is a prepared statement. Executing it puts the parameters into the text and runs that.
type prepared struct {
	sql    string
	params []token        // the question marks
	types  []byte         // two bytes for each parameter, as last sent
	long   map[int][]byte // what COM_STMT_SEND_LONG_DATA has brought
}

var errBadExecute = &mysqlwire.ServerError{Code: 1210, State: "HY000", Message: "Incorrect arguments to EXECUTE"}

// statementCommand executes the commands of prepared statements.
func (s *session) statementCommand(command byte, body []byte) error {
	if command == mysqlwire.ComStmtPrepare {
		return s.prepare(string(body))
	}
	if len(body) < 4 {
		return s.writeError(errBadExecute)
	}
	id := binary.LittleEndian.Uint32(body)
	p := s.prepared[id]
	switch command {
	case mysqlwire.ComStmtClose: // has no answer
		delete(s.prepared, id)
		return nil
	case mysqlwire.ComStmtSendLong: // has no answer
		if p != nil && len(body) >= 6 {
			param := int(binary.LittleEndian.Uint16(body[4:]))
			p.long[param] = append(p.long[param], body[6:]...)
		}
		return nil
	}
	if p == nil {
		return s.writeError(&mysqlwire.ServerError{Code: 1243, State: "HY000", Message: "Unknown prepared statement handler"})
	}
	if command == mysqlwire.ComStmtReset {
		clear(p.long)
		return s.writeOK()
	}
	sql, ok := p.bind(body[4:])
	clear(p.long)
	if !ok {
		return s.writeError(errBadExecute)
	}
	return s.query(sql, true)
}

// prepare answers COM_STMT_PREPARE (page_protocol_com_stmt_prepare): 0x00, the statement's id (4), the number of columns (2)
// and of parameters (2), a filler, the number of warnings (2); then a definition for each parameter and EOF. Columns are
// told only when the statement is executed.
func (s *session) prepare(sql string) error {
	p := &prepared{sql: sql, long: make(map[int][]byte)}
	for _, t := range tokens(sql) {
		if t.is("?") {
			p.params = append(p.params, t)
		}
	}
	if len(p.params) > math.MaxUint16 {
		return s.writeError(&mysqlwire.ServerError{Code: 1390, State: "HY000", Message: "Prepared statement contains too many placeholders"})
	}
	if s.prepared == nil {
		s.prepared = make(map[uint32]*prepared)
	}
	s.lastStmt++
	s.prepared[s.lastStmt] = p
	b := binary.LittleEndian.AppendUint32([]byte{0}, s.lastStmt)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.params)))
	if err := s.writePayload(append(b, 0, 0, 0)); err != nil || len(p.params) == 0 {
		return err
	}
	for range p.params {
		if err := s.writePayload(mysqlwire.Column{Name: "?"}.Append(nil)); err != nil {
			return err
		}
	}
	return s.writePayload(mysqlwire.AppendEOF(nil, 0, 0, s.caps))
}

// bind returns the statement with the parameters of a COM_STMT_EXECUTE in it. b is what follows the statement's id
// (page_protocol_com_stmt_execute): flags (1), iteration count (4); with parameters a bitmap of NULLs, a byte that says
// whether types follow (2 bytes each), and the values.
func (p *prepared) bind(b []byte) (string, bool) {
	n := len(p.params)
	if len(b) < 5 {
		return "", false
	}
	if b = b[5:]; n == 0 {
		return p.sql, true
	}
	bitmap := (n + 7) / 8
	if len(b) < bitmap+1 {
		return "", false
	}
	nulls, fresh, b := b[:bitmap], b[bitmap], b[bitmap+1:]
	if fresh == 1 {
		if len(b) < 2*n {
			return "", false
		}
		p.types, b = b[:2*n], b[2*n:]
	}
	if len(p.types) != 2*n {
		return "", false
	}
	var sql strings.Builder
	end := 0
	for i, mark := range p.params {
		literal, size, ok := "NULL", 0, true
		if long, given := p.long[i]; given {
			literal = quote(long)
		} else if nulls[i/8]&(1<<(i%8)) == 0 {
			literal, size, ok = literalOf(p.types[2*i], p.types[2*i+1]&0x80 != 0, b)
		}
		if !ok {
			return "", false
		}
		b = b[size:]
		sql.WriteString(p.sql[end:mark.start])
		sql.WriteString(literal)
		end = mark.end
	}
	sql.WriteString(p.sql[end:])
	return sql.String(), true
}

// literalOf reads one parameter from b and writes it as SQL does (enum_field_types in field_types.h). Dates and
// times are not understood.
func literalOf(kind byte, unsigned bool, b []byte) (literal string, size int, ok bool) {
	widths := map[byte]int{0x01: 1, 0x02: 2, 0x03: 4, 0x04: 4, 0x05: 8, 0x08: 8, 0x09: 4}
	width, fixed := widths[kind]
	switch {
	case kind == 0x06: // NULL
		return "NULL", 0, true
	case !fixed:
		if text, size, ok := mysqlwire.ParseLenencString(b); ok && isText(kind) {
			return quote(text), size, true
		}
		return "", 0, false
	case len(b) < width:
		return "", 0, false
	}
	var wide [8]byte
	copy(wide[:], b[:width])
	u := binary.LittleEndian.Uint64(wide[:])
	switch {
	case kind == 0x04:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(u))), 'f', -1, 32), width, true
	case kind == 0x05:
		return strconv.FormatFloat(math.Float64frombits(u), 'f', -1, 64), width, true
	case unsigned:
		return strconv.FormatUint(u, 10), width, true
	}
	shift := 64 - 8*width
	return strconv.FormatInt(int64(u<<shift)>>shift, 10), width, true
}

// isText reports whether values of the type are length-encoded strings: DECIMAL, VARCHAR, NEWDECIMAL and the
// blobs and strings.
func isText(kind byte) bool {
	return kind == 0x00 || kind == 0x0f || kind >= 0xf6 && kind <= 0xfe
}

func quote(text []byte) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(string(text)) + "'"
}
