package splice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// stressSize names the variable that says how many sessions the stress test makes with each engine.
const stressSize = "FAIRLEAD_SPLICE_STRESS"

// behaviour is how a session of the stress test goes, and what both sides may then see. The end of a reader is "whole" if
// all that the other side sends has arrived and then its FIN, "cut" if it is anything but that, and "any".
type behaviour struct {
	name                         string
	clientFinishes, serverResets bool
	serverFinishes, clientResets bool
	cut                          bool
	idle, linger                 time.Duration
	ends                         []End
	clientSees, serverSees       string
}

var behaviours = []behaviour{
	{name: "orderly", clientFinishes: true, serverFinishes: true, ends: []End{ClientClosed, ServerClosed},
		clientSees: "whole", serverSees: "whole"},
	{name: "orderly with time-outs", clientFinishes: true, serverFinishes: true, idle: hang, linger: hang,
		ends: []End{ClientClosed, ServerClosed}, clientSees: "whole", serverSees: "whole"},
	{name: "client resets", clientResets: true, ends: []End{ClientReset}, clientSees: "any", serverSees: "cut"},
	{name: "client resets, server finishes", clientResets: true, serverFinishes: true, ends: []End{ClientReset},
		clientSees: "any", serverSees: "cut"},
	{name: "server resets", serverResets: true, ends: []End{ServerReset}, clientSees: "cut", serverSees: "any"},
	{name: "server resets, client finishes", serverResets: true, clientFinishes: true, ends: []End{ServerReset},
		clientSees: "cut", serverSees: "any"},
	{name: "cut", cut: true, ends: []End{Killed}, clientSees: "cut", serverSees: "any"},
	{name: "idle", idle: 30 * time.Millisecond, ends: []End{IdleTimeout}, clientSees: "any", serverSees: "any"},
	{name: "client lingers", serverFinishes: true, linger: 30 * time.Millisecond, ends: []End{LingerTimeout},
		clientSees: "any", serverSees: "any"},
	{name: "server lingers", clientFinishes: true, linger: 30 * time.Millisecond, ends: []End{LingerTimeout},
		clientSees: "cut", serverSees: "any"},
}

// stream is what all sides send, each from an offset of its own, over and over.
var stream = func() []byte {
	random, b := rand.New(rand.NewPCG(1, 2)), make([]byte, 1<<20)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], random.Uint64())
	}
	return b
}()

// story is one session of the stress test.
type story struct {
	behaviour
	*record
	id       uint64
	sizes    [2]int64 // that client and server send
	until    int64    // received by who resets or has it cut, before that; not 0, for then there may be no session yet
	pieces   int      // the most bytes of one write or read
	squeezed bool     // the engine can write only little at once
	task     chan Task
	received [2]int64 // by client and server
	sent     [2]int64
	served   chan error
}

func newStory(id uint64, random *rand.Rand) *story {
	size := func() int64 { return 1 + random.Int64N(1<<(4+random.IntN(18))) } // up to 2 MB, and many small ones
	s := &story{behaviour: behaviours[random.IntN(len(behaviours))], record: newRecord(), id: id,
		sizes: [2]int64{size(), size()}, task: make(chan Task, 1), served: make(chan error, 1)}
	s.pieces = 1 + random.IntN(1<<(6+random.IntN(13))) + int(max(s.sizes[client], s.sizes[server])/500)
	s.squeezed = random.IntN(3) == 0
	s.until = 1 + random.Int64N(s.sizes[server])
	if s.serverResets {
		s.until = 1 + random.Int64N(s.sizes[client])
	}
	return s
}

func (s *story) String() string {
	return fmt.Sprintf("story %d (%s, %d up, %d down, pieces of %d, squeezed %v, until %d)", s.id, s.name, s.sizes[client],
		s.sizes[server], s.pieces, s.squeezed, s.until)
}

// send sends what a side has to send.
func (s *story) send(c *net.TCPConn, side int, finish bool) error {
	for at := int64(0); at < s.sizes[side]; {
		from := (at + int64(s.id)) % int64(len(stream))
		n, err := c.Write(stream[from:min(int64(len(stream)), from+min(int64(s.pieces), s.sizes[side]-at))])
		at += int64(n)
		s.sent[side] = at
		if err != nil {
			return err
		}
	}
	if finish {
		return c.CloseWrite()
	}
	return nil
}

// receive reads until the end, an error, or as much as it shall, and compares.
func (s *story) receive(c *net.TCPConn, side int, until int64) error {
	b := make([]byte, s.pieces)
	for at := s.received[side]; until < 0 || at < until; {
		n, err := c.Read(b)
		for got := b[:n]; len(got) > 0; {
			from := (at + int64(s.id)) % int64(len(stream))
			same := min(len(got), len(stream)-int(from))
			if !bytes.Equal(got[:same], stream[from:int(from)+same]) {
				return fmt.Errorf("wrong bytes within %d from %d", same, at)
			}
			got, at = got[same:], at+int64(same)
		}
		s.received[side] = at
		if err != nil {
			return err
		}
	}
	return nil
}

// live is one side's part; act is what it does once it has received enough.
func (s *story) live(c *net.TCPConn, side int, finish bool, until int64, act func(), sees string) error {
	sent := make(chan error, 1)
	go func() { sent <- s.send(c, side, finish) }()
	err := s.receive(c, side, until)
	if err == nil {
		act()
		err = s.receive(c, side, -1)
	}
	writing := <-sent
	if err == io.EOF && !finish { // it keeps its half open
		select {
		case <-s.ended:
		case <-time.After(hang):
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(writing, os.ErrDeadlineExceeded) {
		return fmt.Errorf("hangs after %d bytes: %v, %v", s.received[side], err, writing)
	}
	whole := err == io.EOF && s.received[side] == s.sizes[1-side]
	switch {
	case s.received[side] > s.sizes[1-side]:
		return fmt.Errorf("%d bytes were received", s.received[side])
	case err != io.EOF && !isReset(err) && !errors.Is(err, net.ErrClosed):
		return err // wrong bytes
	case sees == "whole" && (!whole || writing != nil):
		return fmt.Errorf("%d bytes were received, then %v; %v", s.received[side], err, writing)
	case sees == "cut" && err == io.EOF && !isReset(writing): // of two calls on a socket only one meets the reset
		return fmt.Errorf("a broken session looks like an orderly end after %d bytes", s.received[side])
	}
	return nil
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (s *story) client(to netip.AddrPort) error {
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(hang))
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, s.id)); err != nil {
		return err
	}
	until, act := int64(-1), func() {}
	switch {
	case s.clientResets:
		until, act = s.until, func() { reset(c.(*net.TCPConn)) }
	case s.cut:
		until, act = s.until, func() { (<-s.task).Cut(Killed) }
	}
	return s.live(c.(*net.TCPConn), client, s.clientFinishes, until, act, s.clientSees)
}

func (s *story) server(c *net.TCPConn) error {
	until, act := int64(-1), func() {}
	if s.serverResets {
		until, act = s.until, func() { reset(c) }
	}
	return s.live(c, server, s.serverFinishes, until, act, s.serverSees)
}

// squeeze makes the buffer of what is sent through a connection as small as the kernel lets it be.
var squeeze = func(c Conn) { _ = c.(*netConn).tcp.SetWriteBuffer(1) }

// setUp reads who comes, and joins the two.
func (s *story) setUp(task Task, id []byte, backend netip.AddrPort) {
	conn, err := task.Dial(backend, netip.Addr{}, late())
	if err == nil {
		err = conn.Write(id, late())
	}
	if err != nil {
		s.served <- err
		return
	}
	if s.squeezed {
		squeeze(task.Client())
		squeeze(conn)
	}
	s.task <- task
	task.Join(Joint{Server: conn, Idle: s.idle, Linger: s.linger, Owner: s.record})
}

// verdict compares what the engine told with what the two sides saw.
func (s *story) verdict() error {
	select {
	case <-s.ended:
	case <-time.After(hang):
		return errors.New("the session does not end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.ends {
		if s.end != end {
			continue
		}
		orderly := end == ClientClosed || end == ServerClosed
		for side, moved := range []uint64{s.up, s.down} {
			if n := int64(moved); n < s.received[1-side] || n > s.sizes[side] || orderly && n != s.sizes[side] {
				return fmt.Errorf("%d bytes are counted, %d were sent and %d received", n, s.sent[side], s.received[1-side])
			}
		}
		return nil
	}
	return fmt.Errorf("it ended by %v", s.end)
}

func TestStress(t *testing.T) {
	number, err := strconv.Atoi(os.Getenv(stressSize))
	if err != nil {
		number = 400
	}
	eachEngine(t, func(t *testing.T, e Engine) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		goroutines := runtime.NumGoroutine()
		var stories sync.Map // by id
		backend := listenTCP(t)
		var serving sync.WaitGroup
		serving.Go(func() { serve(t, backend, &stories, &serving) })
		a := listenThrough(t, e, func(task Task) {
			var id [8]byte
			for got := 0; got < len(id); {
				n, err := task.Client().Read(id[got:], late())
				if err != nil {
					t.Errorf("set-up: %v", err)
					return
				}
				got += n
			}
			s, _ := stories.Load(binary.BigEndian.Uint64(id[:]))
			s.(*story).setUp(task, id[:], addressOf(backend))
		})
		var next atomic.Uint64
		var clients sync.WaitGroup
		for worker := range 16 {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(worker)))
				for id := next.Add(1); id <= uint64(number) && !t.Failed(); id = next.Add(1) {
					s := newStory(id, random)
					stories.Store(id, s)
					err := s.client(a.Address())
					if err := errors.Join(err, <-s.served, s.verdict()); err != nil {
						t.Errorf("%v: %v", s, err)
					}
					stories.Delete(id)
				}
			})
		}
		clients.Wait()
		a.Close()
		backend.Close()
		serving.Wait()
		if n := sessions(e); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		eventually(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+spareForStress })
	})
}

// spareForStress is how many goroutines an engine may keep for the next sessions.
const spareForStress = 2 * 64

// serve is the backend of all stories.
func serve(t *testing.T, l *net.TCPListener, stories *sync.Map, serving *sync.WaitGroup) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(hang))
			var id [8]byte
			if _, err := io.ReadFull(c, id[:]); err != nil {
				t.Errorf("server: %v", err)
				return
			}
			s, _ := stories.Load(binary.BigEndian.Uint64(id[:]))
			s.(*story).served <- s.(*story).server(c)
		})
	}
}
