package balancer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
)

// plan says what one session does. Both of its ends know it by its number, which the client sends first.
type plan struct {
	number   uint64
	up, down int64
	// breaks is the side that resets in the midst of what it sends, or 0.
	breaks side
}

type side int

const (
	neither side = iota
	theClient
	theServer
)

// plans are drawn from a seed: some large, most small, with an end or a reset at random.
func plans(largest int64, n int) []plan {
	seeded := rand.New(rand.NewPCG(5, 6))
	all := []plan{{0, largest, 0, neither}, {1, 0, largest, neither}, {2, 0, 0, neither}, {3, 1, 1, neither}}
	for i := len(all); i < n; i++ {
		p := plan{number: uint64(i), up: seeded.Int64N(1 << (4 + i%20)), down: seeded.Int64N(1 << (4 + (i*7)%20))}
		if i%3 == 0 {
			p.breaks = theClient + side(i%2)
		}
		all = append(all, p)
	}
	return all
}

// stream is the bytes of one direction: the same at both ends, and different everywhere.
func stream(number uint64, direction byte) *rand.ChaCha8 {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], number)
	seed[8] = direction
	return rand.NewChaCha8(seed)
}

// send writes n bytes of a stream, and then its end.
func send(c *net.TCPConn, s *rand.ChaCha8, n int64, breaks bool) error {
	b := make([]byte, 64<<10)
	for left := n; left > 0; {
		if breaks && left <= n/2 {
			break
		}
		part := b[:min(left, int64(len(b)))]
		s.Read(part)
		if _, err := c.Write(part); err != nil {
			return err
		}
		left -= int64(len(part))
	}
	if breaks {
		return nil
	}
	return c.CloseWrite()
}

// receive reads to the end, and checks that it is what the stream has. It returns how much came.
func receive(c io.Reader, s *rand.ChaCha8) (n int64, err error) {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		k, err := c.Read(got)
		s.Read(want[:k])
		if !bytes.Equal(got[:k], want[:k]) {
			return n, fmt.Errorf("other bytes than were sent, after %d", n)
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// act plays one end of a session: both directions at once. own and other are the directions.
func (p plan) act(c *net.TCPConn, me side, own, other byte, out, in int64) error {
	var sending sync.WaitGroup
	var sent error
	sending.Go(func() {
		sent = send(c, stream(p.number, own), out, p.breaks == me)
		if p.breaks == me {
			c.SetLinger(0)
			c.Close()
		}
	})
	n, err := receive(c, stream(p.number, other))
	sending.Wait()
	switch {
	case p.breaks == me:
		return nil // its own end of it tells nothing
	case p.breaks != neither:
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(sent, syscall.ECONNRESET) && !errors.Is(sent, syscall.EPIPE) {
			return fmt.Errorf("the other side reset, here it was: received %d, %v; sent: %v", n, err, sent)
		}
		return nil
	case sent != nil || err != nil || n != in:
		return fmt.Errorf("received %d of %d, %v; sent %d: %v", n, in, err, out, sent)
	}
	return nil
}

// TestDataArrivesWhole through a pool of any protocol: random sizes both ways at once, half-closes, and resets, which
// never look like an end.
func TestDataArrivesWhole(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		all := plans(64<<20, 60)
		r := serve(t, kind, func(c *Config, _ *Options) { c.Pools[0].Protocol = TCP }, backendOf(t, func(c *net.TCPConn) {
			var head [8]byte
			if _, err := io.ReadFull(c, head[:]); err != nil {
				return // reset before that
			}
			p := all[binary.LittleEndian.Uint64(head[:])]
			if err := p.act(c, theServer, 'd', 'u', p.down, p.up); err != nil {
				t.Errorf("%+v: the server: %v", p, err)
			}
		}))
		next := make(chan plan)
		var clients sync.WaitGroup
		for range 6 {
			clients.Go(func() {
				for p := range next {
					c := r.dial()
					var head [8]byte
					binary.LittleEndian.PutUint64(head[:], p.number)
					c.Write(head[:])
					if err := p.act(c.TCPConn, theClient, 'u', 'd', p.up, p.down); err != nil {
						t.Errorf("%+v: the client: %v", p, err)
					}
					c.Close()
				}
			})
		}
		for _, p := range all {
			next <- p
		}
		close(next)
		clients.Wait()
		ends := map[string]int{}
		for range all {
			ends[r.record().End]++
		}
		resets := 0
		for _, p := range all {
			if p.breaks != neither {
				resets++
			}
		}
		// Who resets at once may be gone before there is a session.
		if ends["client_reset"]+ends["server_reset"]+ends["client_gone"] != resets {
			t.Errorf("the ends are %v, %d sides have reset", ends, resets)
		}
	})
}
