package balancer

import (
	"bytes"
	"slices"
	"testing"

	"fairlead/internal/mysqlwire"
)

// pieces cuts b in two, again and again, where cuts say.
func pieces(b, cuts []byte) [][]byte {
	var all [][]byte
	for _, c := range cuts {
		n := min(int(c), len(b))
		all = append(all, b[:n:n])
		b = b[n:]
	}
	return append(all, b)
}

// FuzzRenumbering: whatever the two sides say, in whatever pieces: nothing but sequence numbers is changed, they count up,
// the result does not depend on the pieces, and nothing is changed after the verdict.
func FuzzRenumbering(f *testing.F) {
	f.Add([]byte(packetOf(2, switchRequest)+packetOf(9, "\x01more")+packetOf(3, ok)+"rest"), []byte(packetOf(3, "answer")), []byte{1, 3, 7}, true)
	f.Add([]byte(packetOf(255, "")+packetOf(0, "\xffdenied")), []byte("\xff\xff\xff"), []byte{4}, false)
	f.Fuzz(func(t *testing.T, server, client, cuts []byte, serverFirst bool) {
		relay := func(serverPieces, clientPieces [][]byte) (toClient, toServer []byte, r renumbering) {
			r = renumbering{client: repliesFrom}
			carry := func(all [][]byte, step func([]byte)) (carried []byte) {
				for _, p := range all {
					p = bytes.Clone(p)
					step(p)
					carried = append(carried, p...)
				}
				return carried
			}
			if serverFirst {
				toClient = carry(serverPieces, r.toClient)
				return toClient, carry(clientPieces, r.toServer), r
			}
			toServer = carry(clientPieces, r.toServer)
			return carry(serverPieces, r.toClient), toServer, r
		}
		toClient, toServer, r := relay([][]byte{server}, [][]byte{client})
		for _, side := range []struct{ was, is []byte }{{server, toClient}, {client, toServer}} {
			if len(side.was) != len(side.is) {
				t.Fatalf("%d bytes became %d", len(side.was), len(side.is))
			}
			var scanner packetStream
			var numbers []byte
			for i := 0; i < len(side.was); {
				n, header, _ := scanner.next(side.was[i:])
				if header {
					numbers = append(numbers, side.is[i])
				} else if !bytes.Equal(side.was[i:i+n], side.is[i:i+n]) {
					t.Fatalf("%q became %q", side.was, side.is)
				}
				i += n
			}
			if !r.judged { // or what comes after the verdict has its own numbers
				for i := 1; i < len(numbers); i++ {
					if numbers[i] != numbers[i-1]+1 {
						t.Fatalf("the numbers are %v", numbers)
					}
				}
			}
		}
		inPieces, serversInPieces, again := relay(pieces(server, cuts), pieces(client, cuts))
		if !bytes.Equal(inPieces, toClient) || !bytes.Equal(serversInPieces, toServer) || again.judged != r.judged || again.verdict != r.verdict {
			t.Errorf("in pieces: %q, %q, %+v; in one: %q, %q, %+v", inPieces, serversInPieces, again, toClient, toServer, r)
		}
	})
}

func TestRenumbering(t *testing.T) {
	long := make([]byte, mysqlwire.MaxPayload)
	long[0] = 1
	chain, _ := mysqlwire.AppendPacket(nil, append(long, okPacket, 5, 5), 40) // its second packet begins like an OK
	r := renumbering{client: 2}
	said := slices.Concat(chain, []byte(packetOf(99, ok)))
	r.toClient(said)
	if r.judged == false || r.verdict != okPacket || !r.whole {
		t.Errorf("%+v", r)
	}
	second := mysqlwire.HeaderLen + mysqlwire.MaxPayload
	if said[3] != 2 || said[second+3] != 3 || said[len(chain)+3] != 4 {
		t.Errorf("the numbers are %d, %d, %d", said[3], said[second+3], said[len(chain)+3])
	}
	r = renumbering{client: 2}
	said = []byte(packetOf(9, ok) + packetOf(0, "x"))
	if r.toClient(said); !r.judged || r.whole || string(said) != packetOf(2, ok)+packetOf(0, "x") {
		t.Errorf("%+v, %q", r, said)
	}
}

// FuzzTranslate: a login that is moved asks of the new server nothing that it lacks, and nothing that the client does not expect; it keeps
// who the client is, and can be read.
func FuzzTranslate(f *testing.F) {
	caps := uint32(mysqlwire.StarRocksCapabilities)
	f.Add([]byte(richLogin())[mysqlwire.HeaderLen:], caps, uint32(0), caps|1<<24, uint32(0x1d))
	f.Add([]byte(loginPacket("root"))[mysqlwire.HeaderLen:], caps|1, uint32(0x1d), caps, uint32(0))
	f.Fuzz(func(t *testing.T, sent []byte, first, firstMariaDB, next, nextMariaDB uint32) {
		login, err := mysqlwire.ParseLogin(sent)
		if err != nil || login.SSLRequest {
			return
		}
		greeting := func(caps, mariaDB uint32) mysqlwire.Greeting {
			g := mysqlwire.Greeting{Capabilities: mysqlwire.Capability(caps)}
			var l mysqlwire.Login
			l.SetMariaDB(mysqlwire.MariaDBCapability(mariaDB))
			copy(g.Reserved[6:], l.Reserved[19:])
			return g
		}
		one, other := greeting(first, firstMariaDB), greeting(next, nextMariaDB)
		moved, ok := translate(login, one, other)
		if !ok {
			return
		}
		if !movable(&login, one) {
			t.Fatal("a login that can't be moved was translated")
		}
		shared := login.Capabilities & one.Capabilities & other.Capabilities
		if moved.Capabilities&^shared != 0 || moved.MariaDB()&^(login.MariaDB()&one.MariaDB()&other.MariaDB()) != 0 {
			t.Fatalf("it asks for too much: %+v", moved)
		}
		const changes = mysqlwire.ClientCompress | mysqlwire.ClientDeprecateEOF | mysqlwire.ClientSessionTrack | mysqlwire.ClientOptionalResultMeta |
			mysqlwire.ClientZstdCompression | mysqlwire.ClientQueryAttributes
		if (login.Capabilities&one.Capabilities^moved.Capabilities)&changes != 0 ||
			(login.MariaDB()&one.MariaDB()^moved.MariaDB())&(mysqlwire.MariaDBExtendedTypes|mysqlwire.MariaDBCacheMetadata|mysqlwire.MariaDBBulkOperations) != 0 {
			t.Fatalf("the client expects %+v, and the server is told %+v", login, moved)
		}
		read, err := mysqlwire.ParseLogin(moved.Append(nil))
		if err != nil || read.User != login.User || read.Database != login.Database && login.Database != "" || read.AuthPlugin != nobodysPlugin {
			t.Fatalf("%+v became %+v, %v", login, read, err)
		}
	})
}
