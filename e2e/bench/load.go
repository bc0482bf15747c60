//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kind says what the connections of a load do.
type kind string

const (
	exchanges kind = "exchanges" // the same connections ask again and again
	logins    kind = "logins"    // a new session each time
	idlers    kind = "idlers"    // sessions log in and stay
)

// assignment is what the sub-command "load" reads from its standard input, as JSON.
type assignment struct {
	Kind        kind
	Proxy       netip.AddrPort
	Processes   []int // of the proxy: whose processor time and memory are read
	Loops       int
	Connections int   // open at once; of idlers: how many log in at once
	Answer      int64 // bytes of an answer to exchanges
	Sessions    int   // of idlers
	// Warmup precedes Duration and counts for nothing.
	Warmup, Duration time.Duration
	// MaxOperations ends the load early; 0 means that only Duration does.
	MaxOperations int
	// Settle is the pause of idlers before memory is read again.
	Settle time.Duration
	// InTurns has the load wait for a turn on standard input, as JSON, again and again, and answer each when it is over,
	// with nothing left under way; the end of the input is the end of the load. Warmup and Duration are then the turns' own.
	InTurns bool
}

// turn is one of several times at which a load is measured.
type turn struct{ Warmup, Duration time.Duration }

// patience bounds a load over and above its Duration: whatever hangs, it ends.
const patience = 60 * time.Second

// loadCommand is the sub-command "load": it carries out one assignment and writes a measurement as JSON.
func loadCommand([]string) error {
	var a assignment
	input, output := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	if err := input.Decode(&a); err != nil {
		return fmt.Errorf("bench: assignment: %w", err)
	}
	l, err := newLoad(a)
	if err != nil {
		return err
	}
	l.input, l.output = input, output
	m, err := l.carryOut()
	if err != nil {
		return err
	}
	return output.Encode(m)
}

func (l *load) carryOut() (measurement, error) {
	switch l.Kind {
	case exchanges:
		return l.exchange()
	case logins:
		return l.logInAndOut()
	case idlers:
		return l.logInAndStay()
	}
	return nil, fmt.Errorf("bench: no load is called %q", l.Kind)
}

// phase is the state of a load, which its first loop moves forward.
type phase int32

const (
	warming phase = iota
	measuring
	over
)

// load is an assignment being carried out.
type load struct {
	assignment
	input   *json.Decoder // of turns
	output  *json.Encoder
	began   time.Time
	loops   []*loadLoop
	clients []client
	phase   atomic.Int32
	failed  atomic.Pointer[error]
	before  footprint // of the proxy before the first session
	// staying counts the sessions of all loops that idle.
	staying atomic.Int64

	// What the first loop has read at the first and the last instant of measuring.
	cpuStart, cpuEnd time.Duration
	start, end       time.Duration
	// cpu and time are the sums of that over all turns.
	cpu, time time.Duration
}

// client is one connection's worth of load. It is asked to begin at each turn; once the load is over, it finishes what it
// has begun and rests.
type client interface{ begin() }

func newLoad(a assignment) (*load, error) {
	l := &load{assignment: a, began: time.Now()}
	for i := range min(a.Loops, a.Connections) {
		p, err := newPoller()
		if err != nil {
			return nil, err
		}
		l.loops = append(l.loops, &loadLoop{poller: p, load: l, first: i == 0})
	}
	var err error
	l.before, err = footprintOf(a.Processes)
	return l, err
}

// now is the time since the load was made.
func (l *load) now() time.Duration { return time.Since(l.began) }

func (l *load) is(p phase) bool { return phase(l.phase.Load()) == p }

// fail ends the load with the first error of any loop.
func (l *load) fail(err error) {
	l.failed.CompareAndSwap(nil, &err)
	l.phase.Store(int32(over))
}

// run carries out the load's turns, or its only one.
func (l *load) run() error {
	if !l.InTurns {
		return l.takeTurn()
	}
	for {
		var next turn
		if err := l.input.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("bench: turn: %w", err)
		}
		l.Warmup, l.Duration = next.Warmup, next.Duration
		if err := l.takeTurn(); err != nil {
			return err
		}
		if err := l.output.Encode(next); err != nil {
			return fmt.Errorf("bench: turn: %w", err)
		}
	}
}

// takeTurn lets all loops turn until the load is over.
func (l *load) takeTurn() error {
	l.phase.Store(int32(warming))
	for _, c := range l.clients {
		c.begin()
	}
	var running sync.WaitGroup
	begin := l.now() + l.Warmup
	for _, loop := range l.loops {
		running.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			loop.turn(begin)
		})
	}
	running.Wait()
	if err := l.failed.Load(); err != nil {
		return *err
	}
	l.cpu += l.cpuEnd - l.cpuStart
	l.time += l.end - l.start
	return nil
}

// total is what all loops have counted.
func (l *load) total() (operations int, bytes int64, failures int, h *histogram) {
	h = new(histogram)
	for _, loop := range l.loops {
		operations += loop.operations
		bytes += loop.bytes
		failures += loop.failures
		h.merge(&loop.latency)
	}
	return operations, bytes, failures, h
}

// loadLoop is one event loop with its share of the connections.
type loadLoop struct {
	*poller
	load  *load
	first bool // it keeps the time for all

	underWay   int // requests or sessions that have begun
	operations int
	bytes      int64
	failures   int
	latency    histogram
	stay       []int // descriptors of the sessions that idle
	buffer     [turnBytes]byte
}

// turn serves the loop's connections until the load is over, and what is under way then if there are more turns to come.
func (p *loadLoop) turn(begin time.Duration) {
	for !p.load.is(over) || p.load.InTurns && p.underWay > 0 && p.load.failed.Load() == nil {
		timeout := 100 * time.Millisecond // for the word of the first loop
		if p.first && !p.load.is(over) {
			timeout = p.keepTime(begin)
		}
		if err := p.wait(max(timeout, 0)); err != nil {
			p.load.fail(err)
		}
	}
}

// keepTime moves the phase forward when its time has come, and tells how long until it comes.
func (p *loadLoop) keepTime(begin time.Duration) time.Duration {
	l, now := p.load, p.load.now()
	if l.is(warming) && now >= begin {
		if err := l.readClocks(&l.start, &l.cpuStart); err != nil {
			l.fail(err)
			return 0
		}
		l.phase.CompareAndSwap(int32(warming), int32(measuring))
		now = l.start
	}
	if l.is(warming) {
		return begin - now
	}
	enough := l.MaxOperations > 0 && p.operations >= l.MaxOperations/len(l.loops)
	if l.Kind == idlers {
		enough = int(l.staying.Load()) == l.Sessions
	}
	if left := l.start + l.Duration - now; left > 0 && !enough {
		return min(left, 10*time.Millisecond) // the last session to stay may be another loop's
	}
	if err := l.readClocks(&l.end, &l.cpuEnd); err != nil {
		l.fail(err)
	}
	l.phase.Store(int32(over))
	return 0
}

func (l *load) readClocks(at, cpu *time.Duration) error {
	var err error
	*cpu, err = cpuTime(l.Processes)
	*at = l.now()
	return err
}

// moved counts bytes of an answer.
func (p *loadLoop) moved(n int) {
	if p.load.is(measuring) {
		p.bytes += int64(n)
	}
}

// done counts an operation that has begun at the time given.
func (p *loadLoop) done(began time.Duration) {
	if p.load.is(measuring) {
		p.operations++
		p.latency.add(p.load.now() - began)
	}
}

var errNothingDone = errors.New("bench: not one operation was completed in time")

// rates is the measurement of a load whose figures are per operation or per GB.
func (l *load) rates() (measurement, error) {
	done, bytes, failed, h := l.total()
	seconds, cpu := l.time.Seconds(), l.cpu
	if seconds <= 0 || done == 0 && bytes == 0 {
		return nil, errNothingDone
	}
	m := measurement{}
	m.latencies(h)
	if failed > 0 {
		m[failures] = float64(failed)
	}
	if l.Answer >= bulkAnswer {
		// Part of an answer is worth its part of an operation: of 64 MB few end in the time.
		m[operations] = float64(bytes) / float64(l.Answer) / seconds
		m[throughput] = float64(bytes) / 1e9 / seconds
		m[cpuPerGB] = cpu.Seconds() / (float64(bytes) / 1e9)
		return m, nil
	}
	m[operations] = float64(done) / seconds
	m[cpuPerOperation] = float64(cpu) / float64(time.Microsecond) / float64(done)
	return m, nil
}

// socket opens a connection's descriptor; Nagle's algorithm is off, as in every MySQL client.
func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("bench: socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bench: socket: %w", err)
	}
	return fd, nil
}

// connect begins to connect fd.
func connect(fd int, to netip.AddrPort) error {
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("bench: connect to %v: %w", to, err)
	}
	return nil
}
