package idle

import "fairlead/internal/mysqlwire"

// Commands that mysqlwire has no use for (my_command.h; MariaDB's has the last one).
const (
	comQuit        = 0x01
	comCreateDB    = 0x05
	comDropDB      = 0x06
	comRefresh     = 0x07
	comShutdown    = 0x08
	comProcessInfo = 0x0a
	comDebug       = 0x0d
	comStmtFetch   = 0x1c
	comBulkExecute = 0xfa
)

// kinds is the reply to each command.
var kinds = func() (k [256]kind) {
	for i := range k {
		k[i] = unknown
	}
	for _, c := range []byte{mysqlwire.ComInitDB, comCreateDB, comDropDB, comRefresh, comShutdown, mysqlwire.ComStatistics,
		mysqlwire.ComProcessKill, comDebug, mysqlwire.ComPing, mysqlwire.ComStmtReset, mysqlwire.ComSetOption} {
		k[c] = single
	}
	for _, c := range []byte{mysqlwire.ComQuery, comProcessInfo, mysqlwire.ComStmtExecute, comBulkExecute} {
		k[c] = query
	}
	for _, c := range []byte{comQuit, mysqlwire.ComStmtClose, mysqlwire.ComStmtSendLong} {
		k[c] = none
	}
	k[mysqlwire.ComStmtPrepare] = prepare
	k[mysqlwire.ComFieldList], k[comStmtFetch] = rows, rows
	k[mysqlwire.ComResetConnection], k[mysqlwire.ComChangeUser] = reset, change
	return k
}()

// Client reads what the client has sent.
func (t *Tracker) Client(b []byte) {
	for len(b) > 0 && t.Follows() {
		if t.have[client] == 0 && t.left[client] > 0 {
			n := min(t.left[client], uint32(len(b)))
			if t.is(statement) {
				t.more(b[:n], n == t.left[client])
			}
			t.left[client] -= n
			b = b[n:]
			continue
		}
		length, sequence, rest, ok := t.header(client, b)
		if !ok {
			return
		}
		n := min(length, uint32(len(rest)))
		t.clientPacket(rest[:n], length, sequence)
		t.left[client] = length - n
		b = rest[n:]
	}
}

// clientPacket reads the beginning of a packet.
func (t *Tracker) clientPacket(seen []byte, length uint32, sequence byte) {
	chained := t.is(clientChain)
	t.set(clientChain, length == mysqlwire.MaxPayload)
	switch {
	case chained:
		if t.is(statement) {
			t.more(seen, uint32(len(seen)) == length)
		}
		return
	case t.is(infile):
		if length == 0 { // the end of the file
			t.set(infile, false)
		}
		return
	case sequence != 0: // an answer in a login
		return
	case length == 0:
		t.set(blind, true)
		return
	}
	t.command(seen[0], seen[1:], uint32(len(seen)) == length)
}

// command notes a command. whole tells that text is all of it.
func (t *Tracker) command(code byte, text []byte, whole bool) {
	t.set(statement, code == mysqlwire.ComQuery && !whole)
	switch code {
	case mysqlwire.ComQuery:
		if t.is(queryAttributes) {
			if len(text) < 2 || text[0] != 0 || text[1] != 1 { // there are some before the text
				t.set(open, true)
				break
			}
			text = text[2:]
		}
		t.statements(text, whole)
	case mysqlwire.ComStmtPrepare:
		if e := effectOf(text, whole); e > closes || e == opens {
			t.set(doubtful, true) // there is no telling when it is executed
		}
	case mysqlwire.ComStmtExecute, comBulkExecute:
		t.apply(nothing)
		t.set(longData, false)
	case mysqlwire.ComStmtSendLong:
		t.set(longData, true)
	case mysqlwire.ComStmtClose, mysqlwire.ComStmtReset:
		t.set(longData, false)
	}
	k := kinds[code]
	switch {
	case k == none:
		return
	case k == unknown:
		t.set(blind, true)
		return
	case t.is(lost) && t.is(pipelined): // no telling which replies are outstanding
		t.set(blind, true)
		return
	case t.is(lost):
		// A client that waits for each reply has had all of them.
		t.set(lost|begun|inResult|anyStart|serverChain, false)
		t.queue, t.waiting, t.left[server], t.have[server] = 0, 0, 0, 0
	case t.waiting > 0:
		t.set(pipelined, true)
	}
	if t.waiting == mostKept {
		t.set(blind, true)
		return
	}
	t.queue |= uint32(k) << (kindBits * t.waiting)
	t.waiting++
	if t.is(clientChain) {
		t.set(anyStart, true) // the reply counts on from the last packet of the chain
	}
}

// apply notes what a statement does to the session's transaction.
func (t *Tracker) apply(e effect) {
	switch e {
	case opens:
		t.set(open, true)
	case closes:
		t.set(open, false)
	case manual:
		t.set(manualText, true)
	case automatic: // commits what was open under autocommit=0
		if t.is(manualText) {
			t.set(manualText|open, false)
		}
	case doubts:
		t.set(doubtful, true)
	case nothing:
		if t.is(manualText | manualStatus) {
			t.set(open, true)
		}
	}
}

// more reads on in the text of a statement. Whether the part belongs to a string is not known, so that any further
// statement in it may be one that begins a transaction.
func (t *Tracker) more(part []byte, whole bool) {
	if whole {
		t.set(statement, false)
	}
	if t.is(multiStatements) && another(part, whole) {
		t.set(open, true)
	}
}
