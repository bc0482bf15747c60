package idle

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"fairlead/internal/mysqlwire"
)

// The capabilities of the sessions in these tests.
const (
	plain  = mysqlwire.ClientProtocol41 | mysqlwire.ClientTransactions
	modern = plain | mysqlwire.ClientDeprecateEOF
)

// Packets of a server.
func packet(sequence byte, payload string) string {
	b, _ := mysqlwire.AppendPacket(nil, []byte(payload), sequence)
	return string(b)
}

func okay(sequence byte, status string) string {
	return packet(sequence, "\x00\x00\x00"+status+"\x00\x00")
}
func eof(sequence byte, status string) string { return packet(sequence, "\xfe\x00\x00"+status) }
func endOK(sequence byte, status string) string {
	return packet(sequence, "\xfe\x00\x00"+status+"\x00\x00")
}
func failure(sequence byte) string                 { return packet(sequence, "\xff\x51\x04#42000no") }
func asks(text string) string                      { return packet(0, "\x03"+text) }
func command(code byte, parameters ...byte) string { return packet(0, string(code)+string(parameters)) }

const (
	auto   = "\x02\x00"
	within = "\x03\x00"
	more   = "\x0a\x00"
	off    = "\x00\x00"
	opened = "\x42\x00" // a cursor
	last   = "\x82\x00"
)

var (
	column     = packet(2, "\x03def\x00\x00\x00\x01a\x00\x0c\x3f\x00\x01\x00\x00\x00\x08\x81\x00\x00\x00\x00")
	row        = packet(4, "\x011")
	head       = packet(1, "\x01") + column + eof(3, auto)
	result     = head + row + eof(5, auto)
	headModern = packet(1, "\x01") + column
)

// step is one chunk of a session; who sends it is c or s.
type step struct {
	who  byte
	what string
	idle bool // afterwards
}

var sessions = map[string]struct {
	caps  mysqlwire.Capability
	steps []step
}{
	"a login":                        {plain, []step{{'s', "", true}}},
	"a ping":                         {plain, []step{{'c', command(0x0e), false}, {'s', okay(1, auto), true}}},
	"an error":                       {plain, []step{{'c', asks("x"), false}, {'s', failure(1), true}}},
	"a result":                       {plain, []step{{'c', asks("select 1"), false}, {'s', result, true}}},
	"by halves":                      {plain, []step{{'c', asks("select 1"), false}, {'s', head, false}, {'s', row, false}, {'s', row, false}, {'s', eof(7, auto), true}}},
	"only the columns' EOF has come": {plain, []step{{'c', asks("select 1"), false}, {'s', head, false}}},
	"an error amid the rows":         {plain, []step{{'c', asks("select 1"), false}, {'s', head + row, false}, {'s', failure(5), true}}},
	"a row that looks like an end":   {plain, []step{{'c', asks("select 1"), false}, {'s', head + packet(4, "\x07\x05\x00\x00\x05\xfe\x00\x00\x02\x00"), false}, {'s', eof(5, auto), true}}},
	"several results":                {plain | mysqlwire.ClientMultiStatements, []step{{'c', asks("select 1; do 2"), false}, {'s', head + row + eof(5, more), false}, {'s', okay(6, auto), true}}},
	"several, in one piece":          {plain, []step{{'c', asks("select 1; do 2"), false}, {'s', head + row + eof(5, more) + okay(6, auto), true}}},
	"without EOF":                    {modern, []step{{'c', asks("select 1"), false}, {'s', headModern, false}, {'s', row, false}, {'s', endOK(5, auto), true}}},
	"without EOF, with words":        {modern, []step{{'c', asks("select 1"), false}, {'s', headModern + row + packet(5, "\xfe\x00\x00\x02\x00\x00\x00some words"), true}}},
	"without EOF, several":           {modern, []step{{'c', asks("select 1; select 2"), false}, {'s', headModern + endOK(5, more), false}, {'s', headModern, false}, {'s', endOK(3, auto), true}}},
	"the server says transaction":    {plain, []step{{'c', asks("x"), false}, {'s', okay(1, within), false}, {'c', asks("y"), false}, {'s', okay(1, auto), true}}},
	"so after a result":              {plain, []step{{'c', asks("x"), false}, {'s', head + row + eof(5, within), false}}},
	"begun, unsaid by the server":    {plain, []step{{'c', asks("begin"), false}, {'s', okay(1, off), false}, {'c', asks("insert"), false}, {'s', okay(1, off), false}, {'c', asks("commit"), false}, {'s', okay(1, off), true}}},
	"never said about autocommit":    {plain, []step{{'c', asks("x"), false}, {'s', okay(1, off), true}}},
	"autocommit off, said":           {plain, []step{{'c', asks("x"), false}, {'s', okay(1, auto), true}, {'c', asks("call off()"), false}, {'s', okay(1, off), true}, {'c', asks("select 1"), false}, {'s', okay(1, off), false}, {'c', asks("rollback"), false}, {'s', okay(1, off), true}}},
	"autocommit off, by text":        {plain, []step{{'c', asks("set autocommit=0"), false}, {'s', okay(1, off), true}, {'c', asks("select 1"), false}, {'s', okay(1, off), false}, {'c', asks("commit"), false}, {'s', okay(1, off), true}}},
	"a statement under it":           {plain, []step{{'c', asks("set autocommit=0"), false}, {'s', okay(1, off), true}, {'c', command(0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0), false}, {'s', okay(1, off), false}}},
	"a prepared statement": {plain, []step{{'c', packet(0, "\x16select ?"), false}, {'s', packet(1, "\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"), false}, {'s', column + eof(3, auto), false}, {'s', column + eof(5, auto), true},
		{'c', command(0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0), false}, {'s', result, true}, {'c', command(0x19, 1, 0, 0, 0), true}}},
	"without parameters":    {plain, []step{{'c', packet(0, "\x16do 1"), false}, {'s', packet(1, "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), true}}},
	"prepared, without EOF": {modern, []step{{'c', packet(0, "\x16select ?"), false}, {'s', packet(1, "\x00\x01\x00\x00\x00\x01\x00\x01\x00\x00\x00\x00"), false}, {'s', column, false}, {'s', column, true}}},
	"prepared to begin":     {plain, []step{{'c', packet(0, "\x16begin"), false}, {'s', packet(1, "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), false}, {'c', asks("commit"), false}, {'s', okay(1, auto), false}, {'c', command(0x1f), false}, {'s', okay(1, auto), true}}},
	"a long parameter":      {plain, []step{{'c', command(0x18, 1, 0, 0, 0, 0, 0, 'x'), false}, {'c', command(0x17, 1, 0, 0, 0, 0, 1, 0, 0, 0), false}, {'s', okay(1, auto), true}}},
	"a cursor":              {plain, []step{{'c', command(0x17, 1, 0, 0, 0, 1, 1, 0, 0, 0), false}, {'s', packet(1, "\x01") + column + eof(3, opened), false}, {'c', command(0x1c, 1, 0, 0, 0, 9, 0, 0, 0), false}, {'s', packet(1, "\x00\x00\x01") + eof(2, last), true}}},
	"commands in advance":   {plain, []step{{'c', asks("a") + asks("b"), false}, {'s', okay(1, auto), false}, {'s', okay(1, auto), true}}},
	"another user": {plain, []step{{'c', asks("begin"), false}, {'s', okay(1, within), false}, {'c', command(0x11, 'x', 0, 0, 0), false}, {'s', packet(1, "\xfemysql_native_password\x0012345678901234567890\x00"), false},
		{'c', packet(2, "01234567890123456789"), false}, {'s', okay(3, auto), true}}},
	"a file":                          {plain, []step{{'c', asks("load data local"), false}, {'s', packet(1, "\xfbfile"), false}, {'c', packet(2, "a,b"), false}, {'c', packet(3, ""), false}, {'s', okay(4, auto), true}}},
	"progress":                        {plain, []step{{'c', asks("alter table"), false}, {'s', packet(1, "\xff\xff\xff\x01\x01\x02\x00\x00\x00\x01x"), false}, {'s', okay(2, auto), true}}},
	"statistics":                      {plain, []step{{'c', command(0x09), false}, {'s', packet(1, "Uptime: 1"), true}}},
	"unasked":                         {plain, []step{{'s', failure(0), false}, {'c', command(0x0e), false}, {'s', okay(1, auto), true}}},
	"a reply out of number":           {plain, []step{{'c', command(0x0e), false}, {'s', okay(2, auto), false}}},
	"an unknown command":              {plain, []step{{'c', command(0x12), false}, {'s', okay(1, auto), false}, {'c', command(0x0e), false}, {'s', okay(1, auto), false}}},
	"compressed":                      {plain | mysqlwire.ClientCompress, []step{{'s', "", false}}},
	"of old":                          {mysqlwire.ClientLongPassword, []step{{'s', "", false}}},
	"attributes":                      {plain | mysqlwire.ClientQueryAttributes, []step{{'c', packet(0, "\x03\x00\x01begin"), false}, {'s', okay(1, off), false}, {'c', packet(0, "\x03\x00\x01commit"), false}, {'s', okay(1, off), true}}},
	"attributes that are not read":    {plain | mysqlwire.ClientQueryAttributes, []step{{'c', packet(0, "\x03\x01\x01\x00\x01\x03\x00select 1"), false}, {'s', okay(1, off), false}}},
	"a long text":                     {plain, []step{{'c', asks("insert " + strings.Repeat("x", 100))[:50], false}, {'c', asks("insert " + strings.Repeat("x", 100))[50:], false}, {'s', okay(1, off), true}}},
	"a long text with more behind it": {plain | mysqlwire.ClientMultiStatements, []step{{'c', asks("insert " + strings.Repeat("x", 100) + "; begin")[:50], false}, {'c', asks("insert " + strings.Repeat("x", 100) + "; begin")[50:], false}, {'s', okay(1, off), false}}},
}

// fronts are the sessions with a server that tells nothing of autocommit, as front ends.
var fronts = map[string]bool{"begun, unsaid by the server": true, "never said about autocommit": true, "autocommit off, by text": true,
	"a statement under it": true, "attributes": true, "attributes that are not read": true, "a long text": true, "a long text with more behind it": true}

func (t *Tracker) hear(who byte, b []byte) {
	if who == 'c' {
		t.Client(b)
	} else {
		t.Server(b)
	}
}

func TestSessions(t *testing.T) {
	for name, session := range sessions {
		tracker := New(session.caps, !fronts[name])
		for i, s := range session.steps {
			tracker.hear(s.who, []byte(s.what))
			if tracker.Idle() != s.idle {
				t.Errorf("%s, step %d: idle is %v: %+v", name, i, !s.idle, tracker)
				break
			}
		}
	}
}

// TestPieces: however the bytes are cut, a session is not idle within a packet, and as long as every packet can be read it is never taken for
// idle where it is not.
func TestPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, session := range sessions {
		for range 50 {
			whole, cut := New(session.caps, !fronts[name]), New(session.caps, !fronts[name])
			guessing := false
			for i, s := range session.steps {
				whole.hear(s.who, []byte(s.what))
				for b := []byte(s.what); len(b) > 0; {
					n := 1 + random.IntN(len(b))
					cut.hear(s.who, b[:n])
					b = b[n:]
					guessing = guessing || cut.is(lost)
					if cut.Idle() && (cut.left != [2]uint32{} || cut.have != [2]uint8{}) {
						t.Fatalf("%s, step %d: idle within a packet", name, i)
					}
				}
				if cut.Idle() && !whole.Idle() && !guessing {
					t.Fatalf("%s, step %d: idle in pieces, and not in whole", name, i)
				}
			}
		}
	}
}

// TestHalfAHeader: a packet has begun, although nothing is known of it.
func TestHalfAHeader(t *testing.T) {
	for side, hear := range []func(*Tracker, []byte){(*Tracker).Client, (*Tracker).Server} {
		for n := 1; n <= mysqlwire.HeaderLen; n++ {
			tracker := New(plain, true)
			if !tracker.Idle() {
				t.Fatal("a new session is not idle")
			}
			hear(&tracker, []byte("\x00\x00\x01\x00")[:n]) // of 64 KiB
			if tracker.Idle() {
				t.Errorf("a session is idle after %d bytes of a header from side %d", n, side)
			}
		}
	}
}

// TestUnseen: what passes unseen within one packet loses nothing; else the server's side is known again with the next command.
func TestUnseen(t *testing.T) {
	tracker := New(plain, false)
	text := asks("insert " + strings.Repeat("x", 1000))
	tracker.Client([]byte(text[:100]))
	tracker.Unseen(true, len(text)-100)
	tracker.Server([]byte(okay(1, auto)))
	if !tracker.Idle() {
		t.Errorf("a long statement: %+v", tracker)
	}
	tracker.Client([]byte(asks("select 1")))
	tracker.Server([]byte(head))
	tracker.Unseen(false, 1000)
	tracker.Server([]byte(eof(9, auto)))
	if tracker.Idle() {
		t.Error("idle although the end was not seen")
	}
	tracker.Client([]byte(command(0x0e)))
	if tracker.Server([]byte(okay(1, auto))); !tracker.Idle() {
		t.Errorf("the next command: %+v", tracker)
	}
	multi := New(plain|mysqlwire.ClientMultiStatements, false)
	multi.Client([]byte(text[:100]))
	multi.Unseen(true, len(text)-100)
	if multi.Server([]byte(okay(1, off))); multi.Idle() {
		t.Error("idle although another statement may have begun a transaction")
	}
	eager := New(plain, false)
	eager.Client([]byte(asks("a") + asks("b")))
	eager.Unseen(false, 1000)
	eager.Client([]byte(asks("c")))
	if eager.Server([]byte(okay(1, auto))); eager.Idle() {
		t.Error("idle although replies may be outstanding")
	}
	tracker.Unseen(true, 1)
	tracker.Client([]byte(command(0x0e)))
	if tracker.Server([]byte(okay(1, auto))); tracker.Idle() || tracker.Follows() {
		t.Error("followed although the client's packets can't be told apart")
	}
}

// TestCost: sessions are many, and nothing may be allocated for what passes.
func TestCost(t *testing.T) {
	if size := unsafe.Sizeof(Tracker{}); size > 32 {
		t.Errorf("a tracker has %d bytes", size)
	}
	tracker := New(plain, false)
	question, answer := []byte(asks("select a, b from c where d = 12345 and e in (1, 2, 3)")), []byte(result)
	if n := testing.AllocsPerRun(100, func() { tracker.Client(question); tracker.Server(answer) }); n != 0 || !tracker.Idle() {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExchange(b *testing.B) {
	tracker := New(plain, false)
	question, answer := []byte(asks("select a, b from c where d = 12345 and e in (1, 2, 3)")), []byte(result)
	for b.Loop() {
		tracker.Client(question)
		tracker.Server(answer)
	}
}

// FuzzTracker: whatever passes, in whatever pieces, nothing breaks; a session is never idle within a packet; and, as long as every packet
// can be read, pieces never make one idle that is not so in whole.
func FuzzTracker(f *testing.F) {
	for _, session := range sessions {
		var script []byte
		for _, s := range session.steps {
			if len(s.what) > 0 && len(s.what) < 255 {
				script = append(append(script, s.who, byte(len(s.what))), s.what...)
			}
		}
		f.Add(uint32(session.caps), script, uint64(3))
	}
	f.Fuzz(func(t *testing.T, caps uint32, script []byte, seed uint64) {
		whole, cut := New(mysqlwire.Capability(caps), true), New(mysqlwire.Capability(caps), true)
		random := rand.New(rand.NewPCG(seed, 0))
		guessing := false // that the client waits for its replies, after a packet that could not be read
		for len(script) >= 2 {
			who, n := script[0], int(script[1])
			b := script[2:min(2+n, len(script))]
			script = script[2+len(b):]
			if who == 'u' {
				whole.Unseen(n%2 == 0, len(b))
				cut.Unseen(n%2 == 0, len(b))
				continue
			}
			whole.hear(who, b)
			for len(b) > 0 {
				n := 1 + random.IntN(len(b))
				cut.hear(who, b[:n])
				b = b[n:]
				guessing = guessing || cut.is(lost)
			}
			for _, tracker := range []*Tracker{&whole, &cut} {
				if tracker.Idle() && (tracker.left != [2]uint32{} || tracker.have != [2]uint8{} || tracker.waiting != 0) {
					t.Fatalf("idle within a packet: %+v", tracker)
				}
			}
			if cut.Idle() && !whole.Idle() && !guessing {
				t.Fatalf("idle in pieces, and not in whole\n%+v\n%+v", cut, whole)
			}
		}
	})
}
