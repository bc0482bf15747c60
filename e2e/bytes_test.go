package e2e

import (
	wire "encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
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

var checksums = crc64.MakeTable(crc64.ECMA)

// stream is data that follows from a seed.
type stream struct {
	source *rand.ChaCha8
	left   uint64
}

func (x exchange) stream(toServer bool) *stream {
	var key [32]byte
	wire.BigEndian.PutUint64(key[:], x.Seed)
	s := &stream{left: x.ToClient}
	if toServer {
		key[31], s.left = 1, x.ToServer
	}
	s.source = rand.NewChaCha8(key)
	return s
}

// Read gives the data in pieces whose sizes vary.
func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(uint64(len(b)), s.left)]
	s.left -= uint64(len(b))
	return s.source.Read(b)
}

// send writes the data of one direction, in pieces of up to 256 KiB.
func (x exchange) send(c *net.TCPConn, toServer bool) error {
	data := x.stream(toServer)
	piece := make([]byte, 1+x.Seed%(256<<10))
	for {
		n, err := data.Read(piece)
		if err != nil {
			return nil
		}
		if _, err := c.Write(piece[:n]); err != nil {
			return err
		}
	}
}

// errWrong is data that was never sent.
var errWrong = errors.New("wrong data")

// receive reads to the end and compares. whole tells whether everything came; what came must be right in any case.
// A reset is returned as the error that it is.
func (x exchange) receive(c *net.TCPConn, toServer bool) (whole bool, err error) {
	want := x.stream(toServer)
	got, expected := crc64.New(checksums), crc64.New(checksums)
	size := want.left
	n, err := io.CopyBuffer(got, struct{ io.Reader }{c}, make([]byte, 64<<10))
	if uint64(n) > size {
		return false, fmt.Errorf("%w: %d bytes, and only %d were sent", errWrong, n, size)
	}
	if _, err := io.CopyN(expected, want, n); err != nil {
		return false, err
	}
	if got.Sum64() != expected.Sum64() {
		return false, fmt.Errorf("%w: %d bytes have another checksum than those that were sent", errWrong, n)
	}
	return uint64(n) == size, err
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
	size := func() uint64 { return uint64(math.Exp(random.Float64()*math.Log(most+1))) - 1 } // of any magnitude
	before := p.footprint()

	var clients sync.WaitGroup
	room := make(chan struct{}, atOnce)
	address := p.address("mysql")
	all := make([]exchange, sessions)
	failures := make([]error, sessions)
	for i := range all {
		x := exchange{Seed: seed + uint64(i), ToServer: size(), ToClient: size(), Manner: manner(i) % manners}
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
