//go:build linux

package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bulkAnswer is the size in bytes from which on a load is measured by the GB.
const bulkAnswer = 32 << 10

var errBroken = errors.New("bench: the proxy has ended a connection")

// exchanger is one standing connection of load a or c: the next request goes out when the answer is complete.
type exchanger struct {
	loop    *loadLoop
	fd      int
	request []byte
	asks    bool  // it is connected
	missing int64 // bytes of the answer still to come
	began   time.Duration
}

// exchange carries out load a or c.
func (l *load) exchange() (measurement, error) {
	for i := range l.Connections {
		x := &exchanger{loop: l.loops[i%len(l.loops)], request: appendRequest(nil, l.Answer)}
		var err error
		if x.fd, err = socket(); err != nil {
			return nil, err
		}
		defer unix.Close(x.fd)
		if err := connect(x.fd, l.Proxy); err != nil {
			return nil, err
		}
		var h handler = x
		// Writable means connected: the first request waits for that.
		if err := x.loop.add(x.fd, &h, unix.EPOLLOUT); err != nil {
			return nil, err
		}
		x.loop.underWay++
		l.clients = append(l.clients, x)
	}
	if err := l.run(); err != nil {
		return nil, err
	}
	m, err := l.rates()
	if err != nil {
		return nil, err
	}
	if err := l.before.grown(m, memoryAtOnce, l.Processes, l.Connections); err != nil {
		return nil, err
	}
	m.dropNoise(l.Connections)
	return m, nil
}

func (x *exchanger) ready(uint32) {
	if !x.asks {
		x.asks = true
		x.loop.underWay--
		if err := x.loop.watch(x.fd, unix.EPOLLIN); err != nil {
			x.loop.load.fail(err)
			return
		}
		x.begin()
		return
	}
	n, errno := discard(x.fd, x.loop.buffer[:])
	if errno == syscall.EAGAIN {
		return
	}
	if errno != 0 || n == 0 {
		x.loop.load.fail(fmt.Errorf("%w, %d bytes before the end of an answer (%v)", errBroken, x.missing, errno))
		return
	}
	x.loop.moved(n)
	if x.missing -= int64(n); x.missing == 0 {
		x.loop.done(x.began)
		x.loop.underWay--
		x.begin()
	}
}

// begin asks, once it is connected.
func (x *exchanger) begin() {
	if x.asks && x.missing == 0 && !x.loop.load.is(over) {
		x.ask()
	}
}

// ask sends the request. 100 bytes always fit: nothing else is under way.
func (x *exchanger) ask() {
	x.loop.underWay++
	x.began, x.missing = x.loop.load.now(), x.loop.load.Answer
	if n, errno := write(x.fd, x.request); errno != 0 || n != len(x.request) {
		x.loop.load.fail(fmt.Errorf("%w: request (%v)", errBroken, errno))
	}
}
