package splice

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestBytesPassBothWaysAndAreCounted(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil)
		mustWrite(t, r.client, "question")
		mustRead(t, r.server, "question")
		mustWrite(t, r.server, "an answer")
		mustRead(t, r.client, "an answer")
		r.client.Close()
		wantEOF(t, r.server)
		r.server.Close()
		end, up, down := r.record.wait(t)
		if end != ClientClosed || up != 8 || down != 9 {
			t.Fatalf("got %v, %d up, %d down", end, up, down)
		}
	})
}

func TestHalfCloseIsKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		t.Run("client", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			mustWrite(t, r.client, "last words")
			r.client.CloseWrite()
			mustRead(t, r.server, "last words")
			wantEOF(t, r.server)
			mustWrite(t, r.server, "late answer")
			mustRead(t, r.client, "late answer")
			r.server.Close()
			wantEOF(t, r.client)
			wantEnd(t, r, ClientClosed)
		})
		t.Run("server", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			r.server.CloseWrite()
			wantEOF(t, r.client)
			mustWrite(t, r.client, "and one more")
			mustRead(t, r.server, "and one more")
			r.client.Close()
			wantEOF(t, r.server)
			wantEnd(t, r, ServerClosed)
		})
	})
}

func TestResetIsPassedOnAsReset(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		t.Run("client", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			mustWrite(t, r.client, "x")
			mustRead(t, r.server, "x")
			reset(r.client)
			wantReset(t, r.server)
			wantEnd(t, r, ClientReset)
		})
		t.Run("server", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			mustWrite(t, r.server, "x")
			mustRead(t, r.client, "x")
			reset(r.server)
			wantReset(t, r.client)
			wantEnd(t, r, ServerReset)
		})
		t.Run("client after its FIN", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			r.client.CloseWrite()
			wantEOF(t, r.server)
			reset(r.client)
			for { // the engine of goroutines learns of it from the server's next bytes
				if _, err := io.WriteString(r.server, "too late"); err != nil {
					break
				}
			}
			wantEnd(t, r, ClientReset)
		})
		t.Run("in the midst of a bulk transfer", func(t *testing.T) {
			r := connectThrough(t, e, nil)
			go io.Copy(r.server, endless{})
			if _, err := io.CopyN(io.Discard, r.client, 8<<20); err != nil {
				t.Fatal(err)
			}
			reset(r.client)
			wantEnd(t, r, ClientReset)
		})
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// What a side sent before its FIN arrives whole and in order, whatever the sizes, in both directions at once.
func TestDataArrivesWholeAndInOrder(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var all sync.WaitGroup
		number := 12
		if raceDetector {
			number = 6
		}
		for i := range number {
			r := connectThrough(t, e, nil)
			for k, ends := range [][2]*net.TCPConn{{r.client, r.server}, {r.server, r.client}} {
				random := rand.New(rand.NewPCG(seed, uint64(2*i+k)))
				size := 1 + random.Int64N(1<<(10+random.IntN(17))) // up to 64 MB, small ones among them
				sent := make(chan hash.Hash, 1)
				all.Add(2)
				go func() { defer all.Done(); sendRandom(t, ends[0], random, size, sent) }()
				go func() {
					defer all.Done()
					got := sha256.New()
					n, err := io.Copy(got, ends[1])
					if want := <-sent; err != nil || n != size || string(want.Sum(nil)) != string(got.Sum(nil)) {
						t.Errorf("session %d direction %d: %d of %d bytes, %v", i, k, n, size, err)
					}
				}()
			}
		}
		all.Wait()
	})
}

// sendRandom writes size random bytes in pieces of random sizes, then closes that direction.
func sendRandom(t *testing.T, c *net.TCPConn, random *rand.Rand, size int64, sum chan<- hash.Hash) {
	h := sha256.New()
	defer func() { sum <- h }()
	piece := make([]byte, 1<<20)
	for size > 0 {
		p := piece[:min(size, 1+random.Int64N(1<<random.IntN(21)))]
		for i := 0; i+8 <= len(p); i += 8 {
			binary.LittleEndian.PutUint64(p[i:], random.Uint64())
		}
		h.Write(p)
		if _, err := c.Write(p); err != nil {
			t.Error(err)
			return
		}
		size -= int64(len(p))
	}
	_ = c.CloseWrite()
}

// A client that leaves a settled session, before a byte has moved, ends it: its server is not waited for.
func TestSettledSessionEndsWithItsClient(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		t.Run("nothing moved", func(t *testing.T) {
			r := connectThrough(t, e, func(j *Joint) { j.Settled = true })
			r.client.Close()
			wantEnd(t, r, ClientClosed)
			wantEOF(t, r.server)
		})
		t.Run("something moved", func(t *testing.T) {
			r := connectThrough(t, e, func(j *Joint) { j.Settled = true })
			mustWrite(t, r.client, "question")
			_ = r.client.CloseWrite()
			mustRead(t, r.server, "question")
			wantEOF(t, r.server)
			mustWrite(t, r.server, "answer")
			mustRead(t, r.client, "answer")
			r.server.Close()
			wantEOF(t, r.client)
			wantEnd(t, r, ClientClosed)
		})
		t.Run("server first", func(t *testing.T) {
			r := connectThrough(t, e, func(j *Joint) { j.Settled = true })
			_ = r.server.CloseWrite()
			wantEOF(t, r.client)
			mustWrite(t, r.client, "and one more")
			mustRead(t, r.server, "and one more")
			r.client.Close()
			wantEnd(t, r, ServerClosed)
		})
	})
}

func TestIdleTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, func(j *Joint) { j.Idle = 300 * time.Millisecond })
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
		wantEOF(t, r.server)
		wantEnd(t, r, IdleTimeout)
	})
}

func TestLingerBoundsTheWaitForTheOtherSide(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, func(j *Joint) { j.Linger = 50 * time.Millisecond })
		r.client.CloseWrite()
		wantEOF(t, r.server)
		wantReset(t, r.client) // an answer that never came must not look like an empty one
		wantEnd(t, r, LingerTimeout)
	})
}

func TestProofOfTurns(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		t.Run("missing", func(t *testing.T) {
			r := connectThrough(t, e, func(j *Joint) { j.Proof, j.Turns = time.Now().Add(400*time.Millisecond), 3 })
			mustWrite(t, r.client, "hello")
			mustRead(t, r.server, "hello")
			mustWrite(t, r.server, "go on")
			mustRead(t, r.client, "go on")
			wantReset(t, r.client)
			wantEnd(t, r, Unproven)
		})
		t.Run("given", func(t *testing.T) {
			deadline := time.Now().Add(2 * time.Second) // for the words to pass, however busy the machine is
			r := connectThrough(t, e, func(j *Joint) { j.Proof, j.Turns = deadline, 2 })
			mustWrite(t, r.client, "hello")
			mustRead(t, r.server, "hello")
			mustWrite(t, r.server, "go on")
			mustRead(t, r.client, "go on")
			<-time.After(time.Until(deadline.Add(50 * time.Millisecond))) // the proof's time must pass for real
			mustWrite(t, r.client, "still here")
			mustRead(t, r.server, "still here")
			r.client.Close()
			r.server.Close()
			r.record.wait(t)
		})
	})
}

func TestCutEndsAJoinedSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil)
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
		r.task.Cut(Killed)
		wantReset(t, r.client)
		wantEOF(t, r.server)
		wantEnd(t, r, Killed)
		r.task.Cut(Drained) // of no effect any more
	})
}

func TestKeepaliveOfAJoinedSession(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, func(j *Joint) { j.Keepalive = &Keepalive{Idle: time.Minute} })
		r.task.Keepalive(Keepalive{Idle: time.Second, Interval: time.Second, Count: 3, UserTimeout: 4 * time.Second})
		mustWrite(t, r.server, "alive")
		mustRead(t, r.client, "alive")
		r.client.Close()
		r.server.Close()
		r.record.wait(t)
		r.task.Keepalive(Keepalive{}) // of no effect any more
	})
}

// A client that does not read holds back its server: what is on the way is bounded by the sockets and one buffer or pipe.
func TestBackPressure(t *testing.T) {
	total := int64(1 << 30)
	if raceDetector {
		total >>= 2
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, nil)
		_ = r.client.SetReadBuffer(256 << 10)
		_ = r.server.SetWriteBuffer(256 << 10)
		sent := make(chan int64, 1)
		// The client sleeps until its server can send nothing any more: a write that waits for a second.
		block := make([]byte, 1<<20)
		var held int64
		for held < total {
			_ = r.server.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := r.server.Write(block)
			held += int64(n)
			if err != nil {
				break
			}
		}
		const most = 64 << 20 // twice net.ipv4.tcp_rmem's and tcp_wmem's usual maxima on each socket
		if held > most {
			t.Fatalf("%d MB went to a client that does not read", held>>20)
		}
		_ = r.server.SetWriteDeadline(time.Now().Add(hang))
		go func() {
			n, _ := io.Copy(r.server, io.LimitReader(endless{}, total-held))
			_ = r.server.CloseWrite()
			sent <- n
		}()
		got, err := io.Copy(io.Discard, r.client)
		if want := held + <-sent; err != nil || got != want || want != total {
			t.Fatalf("awake, the client read %d of %d bytes, %v", got, want, err)
		}
	})
}

func TestIPv6(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		backend, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			t.Skip("no IPv6 on loopback: ", err)
		}
		defer backend.Close()
		remotes := make(chan netip.AddrPort, 2)
		a, err := e.Listen(ListenOptions{Address: netip.MustParseAddrPort("[::]:0")}, func(task Task) {
			remotes <- task.Client().Remote()
			server, err := task.Dial(addressOf(backend), netip.MustParseAddr("::1"), time.Now().Add(hang))
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			task.Join(Joint{Server: server, Owner: newRecord()})
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		for _, host := range []string{"::1", "127.0.0.1"} { // an unspecified address takes both
			to := netip.AddrPortFrom(netip.MustParseAddr(host), a.Address().Port())
			client := dialTCP(t, to)
			server := acceptTCP(t, backend.(*net.TCPListener))
			mustWrite(t, client, host)
			mustRead(t, server, host)
			if got := <-remotes; got.Addr() != netip.MustParseAddr(host) {
				t.Errorf("the client's address is %v, want %s", got, host)
			}
		}
	})
}
