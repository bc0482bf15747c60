package e2e

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strconv"

	"fairlead/internal/mysqlwire"
)

// Questions of the chaos whose answers are known byte for byte before they come: an answer names the question's number, the
// session (by the database that its login named, and by the server's own number for it), the server, a checksum of what the
// question carried, and carries a payload of its own. Several may be on their way at once.

// identity is what the server says of a session.
type identity struct {
	database, server string
	connection       uint32
}

// questionnaire is a batch of questions, and the bytes of their answers. Its buffers are used again.
type questionnaire struct {
	questions, answers []byte
	starts             []int // of each answer
}

// letters are what questions carry: noise without quotes and backslashes.
var letters = func() []byte {
	b := bytes.Clone(noise())
	for i := range b {
		b[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[b[i]&63]
	}
	return b
}()

// portion is so many letters from somewhere.
func portion(random *rand.Rand, n int) []byte {
	n = min(n, len(letters))
	at := random.IntN(len(letters) - n + 1)
	return letters[at : at+n]
}

// add appends one question with so many bytes each way.
func (q *questionnaire) add(who identity, caps mysqlwire.Capability, number uint64, random *rand.Rand, toServer, toClient int) {
	sent := portion(random, toServer)
	pattern := portion(random, min(1+random.IntN(1009), max(toClient, 1)))
	times := toClient / len(pattern)
	statement := append([]byte{mysqlwire.ComQuery}, "select '"...)
	statement = strconv.AppendUint(statement, number, 10)
	statement = append(statement, "' q, database() d, connection_id() c, @@hostname h, md5('"...)
	statement = append(statement, sent...)
	statement = append(statement, "') m, repeat('"...)
	statement = append(statement, pattern...)
	statement = fmt.Appendf(statement, "', %d) r", times)
	q.questions, _ = mysqlwire.AppendPacket(q.questions, statement, 0)

	q.starts = append(q.starts, len(q.answers))
	sum := md5.Sum(sent)
	sequence := byte(1)
	packet := func(payload []byte) { q.answers, sequence = mysqlwire.AppendPacket(q.answers, payload, sequence) }
	packet([]byte{byte(len(answerColumns))})
	for _, c := range answerColumns {
		packet(c.Append(nil))
	}
	packet(mysqlwire.AppendEOF(nil, 0, 0, caps))
	packet(mysqlwire.AppendTextRow(nil, [][]byte{strconv.AppendUint(nil, number, 10), []byte(who.database),
		strconv.AppendUint(nil, uint64(who.connection), 10), []byte(who.server), []byte(hex.EncodeToString(sum[:])), bytes.Repeat(pattern, times)}))
	packet(mysqlwire.AppendEOF(nil, 0, 0, caps))
}

var answerColumns = []mysqlwire.Column{
	{Name: "q", Length: math.MaxUint16}, {Name: "d", Length: math.MaxUint16}, {Name: "c", Type: mysqlwire.TypeLongLong, Length: 20},
	{Name: "h", Type: mysqlwire.TypeLongLong, Length: 20}, // the servers' names are numbers
	{Name: "m", Length: math.MaxUint16}, {Name: "r", Length: math.MaxUint16},
}

func (q *questionnaire) clear() {
	q.questions, q.answers, q.starts = q.questions[:0], q.answers[:0], q.starts[:0]
}

// errRefused is an answer by an error packet, which may be right or wrong.
type errRefused struct{ *mysqlwire.ServerError }

// errCut is an end before or within answers. What came until then was right.
type errCut struct {
	got, of int // bytes
	err     error
}

func (e errCut) Error() string {
	return fmt.Sprintf("after %d of %d bytes of answers: %v", e.got, e.of, e.err)
}

// read compares what comes with the answers. What came before an error was right, unless it is errWrong.
func (q *questionnaire) read(c net.Conn, buffer []byte) error {
	for got := 0; got < len(q.answers); {
		n, err := c.Read(buffer[:min(len(buffer), len(q.answers)-got)])
		if want := q.answers[got : got+n]; !bytes.Equal(want, buffer[:n]) {
			return q.explain(c, got, buffer[:n])
		}
		got += n
		if err != nil && got < len(q.answers) {
			return errCut{got: got, of: len(q.answers), err: err}
		}
	}
	return nil
}

// explain tells what came instead of an answer: an error packet, or what must never come.
func (q *questionnaire) explain(c net.Conn, got int, b []byte) error {
	differs := 0
	for q.answers[got+differs] == b[differs] {
		differs++
	}
	differs += got
	start := 0
	for _, s := range q.starts {
		if s <= differs {
			start = s
		}
	}
	before := q.answers[start:max(got, start)] // of this answer, and in an earlier read
	rest := append(bytes.Clone(before), b[max(0, start-got):]...)
	if _, payload, err := mysqlwire.ReadPacket(io.MultiReader(bytes.NewReader(rest), c), nil, mysqlwire.MaxPayload); err == nil && len(payload) > 0 && payload[0] == 0xff {
		if e, err := mysqlwire.ParseError(payload); err == nil {
			return errRefused{e}
		}
	}
	const shown = 200
	return fmt.Errorf("%w: %d bytes into answer %d of %d: %.200q, want %.200q", errWrong, differs-start, len(q.starts), len(q.starts),
		b[differs-got:], q.answers[differs:min(len(q.answers), differs+shown)])
}

// whoAmI asks for a session's identity.
func whoAmI(c net.Conn) (identity, error) {
	const statement = "select connection_id(), @@hostname, database()"
	packet, _ := mysqlwire.AppendPacket(nil, append([]byte{mysqlwire.ComQuery}, statement...), 0)
	if _, err := c.Write(packet); err != nil {
		return identity{}, err
	}
	var row [][]byte
	for i := range 1 + 3 + 1 + 1 + 1 {
		_, payload, err := mysqlwire.ReadPacket(c, nil, mysqlwire.MaxPayload)
		switch {
		case err != nil:
			return identity{}, err
		case i == 0 && len(payload) > 0 && payload[0] == 0xff:
			e, err := mysqlwire.ParseError(payload)
			if err != nil {
				return identity{}, errors.Join(errWrong, err)
			}
			return identity{}, errRefused{e}
		case i == 5:
			for len(payload) > 0 && 1+int(payload[0]) <= len(payload) {
				row, payload = append(row, payload[1:1+payload[0]]), payload[1+payload[0]:]
			}
		}
	}
	if len(row) != 3 {
		return identity{}, fmt.Errorf("%w: the row has the fields %q", errWrong, row)
	}
	id, err := strconv.ParseUint(string(row[0]), 10, 32)
	if err != nil {
		return identity{}, errors.Join(errWrong, err)
	}
	return identity{connection: uint32(id), server: string(row[1]), database: string(row[2])}, nil
}
