// Package idle tells whether a MySQL session is idle between statements, and may be ended without a loss to a client that
// uses a pool of connections: nothing is under way in either direction, the last reply has come to its end, and no
// transaction is open. It follows both directions as they pass, packet by packet, in a few bytes of state and without
// allocating; what it can't be sure of counts as not idle.
//
//	t := idle.New(capabilities) // once the login is over
//	t.Client(chunk)             // whatever the client has sent
//	t.Server(chunk)             // whatever the server has sent
//	if t.Idle() { … }
//
// A transaction is what the server says is one (SERVER_STATUS_IN_TRANS), and, for front ends hardly say any, what the
// text of statements begins: BEGIN, START TRANSACTION, and any statement under autocommit=0, up to COMMIT or ROLLBACK.
package idle

import (
	"encoding/binary"

	"fairlead/internal/mysqlwire"
)

// Tracker follows one session. The zero value follows nothing, and is never idle.
type Tracker struct {
	left    [2]uint32 // bytes of the present packet's payload still to come; while have is not zero, the header's bytes so far
	packets uint32    // of a prepared statement's description, still to come
	queue   uint32    // the commands that wait for their reply, the first in the lowest bits
	flags   flags
	have    [2]uint8 // bytes of a header that is not whole yet; wholeHeader when only the payload's first byte is missing
	waiting uint8    // commands in queue
	ends    uint8    // EOF packets still to come before the present result is whole
}

type flags uint32

const (
	following flags = 1 << iota
	blind           // for good: the client's packets can't be told apart any more
	lost            // until the next command: the server's packets can't
	pipelined       // the client sends commands before it has the reply to others

	deprecateEOF // capabilities
	multiStatements
	queryAttributes

	clientChain // the last packet was of the greatest length: the next one continues it
	serverChain
	statement // the client's present packet is the text of a statement
	infile    // the client sends the file that LOAD DATA LOCAL has asked for
	begun     // the present reply has
	inResult  // its columns or rows are under way
	anyStart  // the first packet of the present reply may have any number

	inTransaction // the server says so
	tells         // the server does of autocommit
	manualStatus  // and it is off
	manualText    // the client has turned it off
	open          // the client has begun a transaction, or may have
	cursor        // rows wait to be fetched
	longData      // the value of a parameter has been sent, for a statement that comes next
	doubtful      // until the session is reset: it may have a transaction that can't be seen
)

// The two directions.
const (
	client = iota
	server
)

// kind is what a command's reply looks like. 0 is no reply.
type kind uint32

const (
	none     kind = iota
	single        // one packet, whatever it is
	query         // OK, ERR, or results
	prepare       // a description of the statement
	rows          // rows or columns up to an EOF
	reset         // one packet; after an OK the session is as new
	change        // packets of another login, up to OK or ERR
	unknown       // no idea
	kindBits = 4
	kindMask = 1<<kindBits - 1
	mostKept = 32 / kindBits
)

// wholeHeader is a header whose payload has not begun.
const wholeHeader = mysqlwire.HeaderLen

// unreadable are the capabilities under which packets can't be told apart, or results have another form.
const unreadable = mysqlwire.ClientCompress | mysqlwire.ClientZstdCompression | mysqlwire.ClientOptionalResultMeta

// New returns the tracker of a session whose login has just come to its end, and in which nothing is outstanding. caps are
// the flags that both sides have announced; reports says that the server's greeting told of autocommit, as front ends' don't.
func New(caps mysqlwire.Capability, reports bool) Tracker {
	var t Tracker
	if caps&unreadable != 0 || !caps.Has(mysqlwire.ClientProtocol41) {
		return t
	}
	t.flags = following
	t.set(deprecateEOF, caps.Has(mysqlwire.ClientDeprecateEOF))
	t.set(multiStatements, caps.Has(mysqlwire.ClientMultiStatements))
	t.set(queryAttributes, caps.Has(mysqlwire.ClientQueryAttributes))
	t.set(tells, reports)
	return t
}

// Follows tells whether it is any use to tell the tracker what passes.
func (t *Tracker) Follows() bool { return t.flags&(following|blind) == following }

// Idle tells whether the session is idle between statements.
func (t *Tracker) Idle() bool {
	const busy = blind | lost | infile | inTransaction | open | cursor | longData | doubtful | clientChain | serverChain
	return t.flags&(following|busy) == following && t.waiting == 0 && t.left == [2]uint32{} && t.have == [2]uint8{}
}

func (t *Tracker) is(f flags) bool { return t.flags&f != 0 }

func (t *Tracker) set(f flags, on bool) {
	if on {
		t.flags |= f
	} else {
		t.flags &^= f
	}
}

// header takes a packet's header from b, or as much of it as there is. It returns the payload's length and the sequence
// number once the payload's first byte is there as well (or there is none), and what of b is left then.
func (t *Tracker) header(side int, b []byte) (length uint32, sequence byte, rest []byte, ok bool) {
	have := t.have[side]
	if have == 0 && len(b) > wholeHeader { // the usual case
		word := binary.LittleEndian.Uint32(b)
		return word & mysqlwire.MaxPayload, byte(word >> 24), b[wholeHeader:], true
	}
	for have < wholeHeader && len(b) > 0 {
		t.left[side] |= uint32(b[0]) << (8 * have)
		have++
		b = b[1:]
	}
	word := t.left[side]
	if have == wholeHeader && (len(b) > 0 || word&mysqlwire.MaxPayload == 0) {
		t.have[side], t.left[side] = 0, 0
		return word & mysqlwire.MaxPayload, byte(word >> 24), b, true
	}
	t.have[side] = have
	return 0, 0, b, false
}

// Unseen notes that n bytes have passed that could not be looked at.
func (t *Tracker) Unseen(fromClient bool, n int) {
	side, missed := server, lost
	if fromClient {
		side, missed = client, blind
	}
	if t.have[side] != 0 || uint32(n) > t.left[side] {
		t.set(missed|inTransaction, true) // until it says otherwise
		t.left[side], t.have[side] = 0, 0
		return
	}
	t.left[side] -= uint32(n)
	if fromClient && t.is(statement) && t.is(multiStatements) {
		t.set(open, true) // there may have been another statement in it
	}
}
