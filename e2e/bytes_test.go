package e2e

import (
	"bytes"
	wire "encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exchange is one session's data: so many bytes each way, and how the sides end. Both sides know it from its seed and sizes,
// which the client sends first.
type exchange struct {
	Seed               uint64
	ToServer, ToClient uint64 // bytes
	Manner             manner
}

// manner is how a session goes.
type manner uint64

// The manners.
const (
	// turns: the client sends all and half-closes; then the server answers and closes.
	turns manner = iota
	// serverFirst: the server sends all and half-closes; then the client sends and closes.
	serverFirst
	// both send at the same time, and half-close when they are done.
	both
	// clientResets and serverResets: both send; after all that it has to send that side resets.
	clientResets
	serverResets
	manners
)

var mannerNames = [...]string{"turns", "server first", "both", "client resets", "server resets"}

// String tells of an exchange in a test's failure.
func (x exchange) String() string {
	return fmt.Sprintf("%s, %d bytes to the server, %d to the client, seed %d", mannerNames[x.Manner], x.ToServer, x.ToClient, x.Seed)
}

const exchangeHeader = 4 * 8

// noise is what all streams are cut from: random bytes, so many that no buffer on the way has a multiple of that.
var noise = sync.OnceValue(func() []byte {
	const prime = 1_048_583
	all := make([]byte, prime)
	_, _ = rand.NewChaCha8([32]byte{}).Read(all)
	return all
})

// stream is data that follows from a seed: the noise, over and over, from somewhere on.
type stream struct {
	at   uint64 // in the noise
	left uint64
}

func (x exchange) stream(toServer bool) *stream {
	s := &stream{left: x.ToClient}
	if toServer {
		s.left = x.ToServer
	}
	s.at = rand.New(rand.NewPCG(x.Seed, s.left)).Uint64N(uint64(len(noise())))
	return s
}

// next gives the next bytes, n of them at most, and none at the end. They must not be changed.
func (s *stream) next(n int) []byte {
	b := noise()[s.at:]
	b = b[:min(uint64(len(b)), uint64(n), s.left)]
	s.at = (s.at + uint64(len(b))) % uint64(len(noise()))
	s.left -= uint64(len(b))
	return b
}

// Write compares what has arrived with what was sent.
func (s *stream) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		want := s.next(len(b) - n)
		switch {
		case len(want) == 0:
			return n, fmt.Errorf("%w: more than was sent", errWrong)
		case !bytes.Equal(want, b[n:n+len(want)]):
			return n, fmt.Errorf("%w: other than was sent, %d bytes or less before the end", errWrong, s.left+uint64(len(want)))
		}
		n += len(want)
	}
	return len(b), nil
}

// errWrong is data that was never sent.
var errWrong = errors.New("wrong data")

// send writes the data of one direction, in pieces of any magnitude up to 256 KiB, but not too many of them.
func (x exchange) send(c *net.TCPConn, toServer bool) error {
	const largest, most = 256 << 10, 10_000
	data := x.stream(toServer)
	piece := max(magnitude(rand.New(rand.NewPCG(x.Seed, 1)), largest), 1+data.left/most)
	for data.left > 0 {
		if _, err := c.Write(data.next(int(piece))); err != nil {
			return err
		}
	}
	return nil
}

// magnitude is a random number up to most, small ones as probable as large ones.
func magnitude(random *rand.Rand, most float64) uint64 {
	return uint64(math.Exp(random.Float64()*math.Log(most+1))) - 1
}

// receive reads to the end. whole tells whether everything came; what came must be right in any case. A reset is returned
// as the error that it is.
func (x exchange) receive(c *net.TCPConn, toServer bool) (whole bool, err error) {
	want := x.stream(toServer)
	_, err = io.CopyBuffer(want, struct{ io.Reader }{c}, make([]byte, 64<<10))
	return want.left == 0, err
}

// resets tells whether a side resets the connection at its end.
func (x exchange) resets(server bool) bool {
	return server && x.Manner == serverResets || !server && x.Manner == clientResets
}

// carryOut is one side's part of an exchange.
func (x exchange) carryOut(c *net.TCPConn, server bool) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * patience))
	broken := false // by the other side's reset, as this side's sender saw it: the kernel tells only once
	send := func() error {
		err := x.send(c, !server)
		switch {
		case x.resets(server):
			c.SetLinger(0)
			return errors.Join(err, c.Close())
		case x.resets(!server):
			broken = errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
			return nil
		case err == nil:
			return c.CloseWrite()
		}
		return err
	}
	whole, end := false, error(nil)
	receive := func() error {
		whole, end = x.receive(c, server)
		switch {
		case errors.Is(end, errWrong):
			return end
		case x.resets(server), x.resets(!server):
			return nil
		case end == nil && !whole:
			return errors.New("the end came too early")
		}
		return end
	}
	switch {
	case x.Manner == turns && server, x.Manner == serverFirst && !server:
		if err := receive(); err != nil {
			return err
		}
		return send()
	case x.Manner == turns, x.Manner == serverFirst:
		if err := send(); err != nil {
			return err
		}
		return receive()
	}
	sent := make(chan error, 1)
	go func() { sent <- send() }()
	err := errors.Join(receive(), <-sent)
	if err == nil && x.resets(!server) && !broken && !errors.Is(end, syscall.ECONNRESET) {
		return fmt.Errorf("the other side reset the connection, and this one saw %v", end)
	}
	return err
}

// exchangeServer carries out what clients ask for, and tells how it went by the exchange's seed.
type exchangeServer struct {
	listener *net.TCPListener
	serving  sync.WaitGroup
	outcomes chan map[uint64]error
}

func startExchangeServer(t *testing.T) *exchangeServer {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s := &exchangeServer{listener: l, outcomes: make(chan map[uint64]error, 1)}
	s.outcomes <- make(map[uint64]error)
	s.serving.Go(s.serve)
	t.Cleanup(s.stop)
	return s
}

func (s *exchangeServer) stop() {
	s.listener.Close()
	s.serving.Wait()
}

func (s *exchangeServer) serve() {
	for {
		c, err := s.listener.AcceptTCP()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			var header [exchangeHeader]byte
			if _, err := io.ReadFull(c, header[:]); err != nil {
				c.Close() // a probe
				return
			}
			x := exchange{}
			for i, field := range []*uint64{&x.Seed, &x.ToServer, &x.ToClient, (*uint64)(&x.Manner)} {
				*field = wire.BigEndian.Uint64(header[8*i:])
			}
			err := x.carryOut(c, true)
			all := <-s.outcomes
			all[x.Seed] = err
			s.outcomes <- all
		})
	}
}

// begin connects and tells the server what will come.
func (x exchange) begin(address string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	var header []byte
	for _, field := range []uint64{x.Seed, x.ToServer, x.ToClient, uint64(x.Manner)} {
		header = wire.BigEndian.AppendUint64(header, field)
	}
	if _, err := c.Write(header); err != nil {
		c.Close()
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// TestBytes: data of random sizes up to 64 MB each way, with half-closes and resets, arrives whole and in order.
func TestBytes(t *testing.T) {
	for _, engine := range []string{"loops", "goroutines"} {
		t.Run(engine, func(t *testing.T) { testBytes(t, engine) })
	}
}

func testBytes(t *testing.T, engine string) {
	const sessions, atOnce, most = 120, 8, 64 << 20
	servers := []*exchangeServer{startExchangeServer(t), startExchangeServer(t)}
	p := start(t, inFrontOf("protocol = \"tcp\"\nlinger = \"1m\"\n", "", servers[0].listener.Addr().String(), servers[1].listener.Addr().String())+
		fmt.Sprintf("[engine]\nkind = %q\n", engine))
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	before := p.footprint()

	var clients sync.WaitGroup
	room := make(chan struct{}, atOnce)
	address := p.address("mysql")
	all := make([]exchange, sessions)
	failures := make([]error, sessions)
	for i := range all {
		x := exchange{Seed: seed + uint64(i), ToServer: magnitude(random, most), ToClient: magnitude(random, most), Manner: manner(i) % manners}
		if i == int(both) {
			x.ToServer, x.ToClient = most, most
		}
		all[i] = x
		room <- struct{}{}
		clients.Go(func() {
			defer func() { <-room }()
			c, err := x.begin(address)
			if err == nil {
				err = x.carryOut(c, false)
			}
			failures[i] = err
		})
	}
	clients.Wait()
	spare := spareCoroutines()
	spare.descriptors = 4 * atOnce // pipes are kept: at most one for each direction that ever was at the same time
	p.settles(before, spare)
	outcomes := make(map[uint64]error)
	for _, s := range servers {
		s.stop()
		for seed, err := range <-s.outcomes {
			outcomes[seed] = err
		}
	}
	for i, x := range all {
		err, told := outcomes[x.Seed]
		if failures[i] != nil || err != nil {
			t.Errorf("%v\nclient: %v\nserver: %v", x, failures[i], err)
		}
		if !told && x.Manner != clientResets { // a reset takes along what the other side has not read yet, be it all
			t.Errorf("%v: the server has never heard of it", x)
		}
	}
}
