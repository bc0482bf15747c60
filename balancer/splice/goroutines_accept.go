package splice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// netAcceptor accepts for the portable engine.
type netAcceptor struct {
	engine   *goroutines
	listener *net.TCPListener
	setup    Setup
	trouble  *trouble
	done     chan struct{}
	starting sync.WaitGroup // set-ups
	closing  context.Context
	close    context.CancelFunc

	keepalive atomic.Int64 // a time.Duration
	once      sync.Once    // for run, or for a Close without one
}

func (e *goroutines) Listen(o ListenOptions, setup Setup) (Acceptor, error) {
	o.Address = plain(o.Address)
	listener, err := besideOthers(o, func() (*net.TCPListener, error) { return netListen(o) })
	if err != nil {
		return nil, fmt.Errorf("splice: %w", err)
	}
	a := &netAcceptor{engine: e, listener: listener, setup: setup, trouble: newTrouble(o), done: make(chan struct{})}
	a.closing, a.close = context.WithCancel(context.Background())
	a.keepalive.Store(int64(o.Keepalive))
	if !o.Held {
		a.Accept()
	}
	return a, nil
}

func (a *netAcceptor) Accept() { a.once.Do(func() { go a.run() }) }

// Tune leaves the backlog as it is: package net always asks for the longest.
func (a *netAcceptor) Tune(_ int, keepalive time.Duration) { a.keepalive.Store(int64(keepalive)) }

func netListen(o ListenOptions) (*net.TCPListener, error) {
	var (
		l   net.Listener
		err error
	)
	if o.File != nil {
		l, err = net.FileListener(o.File)
	} else {
		config := net.ListenConfig{KeepAlive: -1}
		config.SetMultipathTCP(false) // the event loops may be handed this socket, and splice plain TCP
		config.Control = o.control
		network := "tcp"
		if o.Address.Addr().Is4() {
			network = "tcp4"
		} else if !o.Address.Addr().IsUnspecified() {
			network = "tcp6"
		}
		l, err = config.Listen(context.Background(), network, o.Address.String())
	}
	if err != nil {
		return nil, err
	}
	listener, ok := l.(*net.TCPListener)
	if !ok {
		l.Close()
		return nil, fmt.Errorf("inherited listener %s is no TCP socket", o.Address)
	}
	if raw, err := listener.SyscallConn(); err == nil && len(o.Beside) > 0 {
		_ = shareAddress(raw, false)
	}
	return listener, nil
}

// control is a net.ListenConfig's.
func (o ListenOptions) control(network, address string, raw syscall.RawConn) error {
	if len(o.Beside) > 0 {
		if err := shareAddress(raw, true); err != nil {
			return err
		}
	}
	if o.FreeBind {
		return freeBind(network, address, raw)
	}
	return nil
}

const (
	// lastCall is how long a closing acceptor waits for one more connection that the kernel has completed: package net
	// gives no way to take one without waiting.
	lastCall = 10 * time.Millisecond
	// lastCalls bounds that where clients keep coming.
	lastCalls = time.Second
)

// run accepts until the acceptor is closed, and has taken what had come by then.
func (a *netAcceptor) run() {
	defer close(a.done)
	started, over := time.Now(), time.Time{}
	for pause := time.Duration(0); ; {
		c, err := a.listener.AcceptTCP()
		switch now := time.Now(); {
		case err == nil:
			pause = 0
			a.trouble.accepted(int64(now.Sub(started)))
			a.begin(c)
			if a.closing.Err() == nil {
				continue
			}
			if over.IsZero() {
				over = now.Add(lastCalls)
			}
			if now.Before(over) {
				_ = a.listener.SetDeadline(now.Add(lastCall))
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return
		case !errors.Is(err, syscall.ECONNABORTED):
			pause = longerPause(pause)
			a.trouble.met(err, int64(now.Sub(started)))
			select {
			case <-time.After(pause):
			case <-a.closing.Done():
				return
			}
		}
	}
}

func (a *netAcceptor) begin(c *net.TCPConn) {
	a.starting.Add(1)
	idle := time.Duration(a.keepalive.Load())
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: idle > 0, Idle: idle})
	if !a.engine.begin(c, func(t Task) { a.starting.Done(); a.setup(t) }) {
		a.starting.Done()
		c.Close()
	}
}

func (a *netAcceptor) Address() netip.AddrPort {
	return plain(a.listener.Addr().(*net.TCPAddr).AddrPort())
}

func (a *netAcceptor) File() (*os.File, error) {
	file, err := duplicate(a.listener)
	if err != nil {
		return nil, fmt.Errorf("splice: duplicate the listener %s: %w", a.Address(), err)
	}
	return file, nil
}

func (a *netAcceptor) Close() {
	a.close()
	a.once.Do(func() { close(a.done) }) // it has never accepted
	_ = a.listener.SetDeadline(time.Now().Add(lastCall))
	<-a.done
	a.starting.Wait()
	a.listener.Close()
}
