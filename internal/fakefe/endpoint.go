package fakefe

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// endpoint is one of the FE's ports. It can be closed and opened again; in between the port stays reserved where the
// system allows that (hold), so that no other program's connection takes it.
type endpoint struct {
	address *net.TCPAddr
	serve   func(*net.TCPListener)
	held    io.Closer
	// listener is nil while closed; serving is done when serve has returned.
	listener *net.TCPListener
	serving  sync.WaitGroup
}

// newEndpoint reserves an address. serve is called in a goroutine of its own with each listener and must return
// once that is closed.
func newEndpoint(address string, serve func(*net.TCPListener)) (*endpoint, error) {
	want, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: address %q: %w", ErrConfig, address, err)
	}
	if want.IP == nil {
		want.IP = net.IPv4zero
	}
	got, held, err := hold(want)
	if err != nil {
		return nil, fmt.Errorf("fakefe: reserving %s: %w", address, err)
	}
	return &endpoint{address: got, serve: serve, held: held}, nil
}

// open listens and serves, unless it does.
func (e *endpoint) open() error {
	if e.listener != nil {
		return nil
	}
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // such sockets take no filters (deaf), and front ends don't listen on them
	opened, err := plain.Listen(context.Background(), "tcp", e.address.String())
	if err != nil {
		return fmt.Errorf("fakefe: %w", err)
	}
	l := opened.(*net.TCPListener)
	e.listener = l
	if e.address.Port == 0 { // nothing could be held, and the kernel has chosen the port only now
		e.address = l.Addr().(*net.TCPAddr)
	}
	e.serving.Go(func() { e.serve(l) })
	return nil
}

// close stops listening and waits for serve to return.
func (e *endpoint) close() {
	if e.listener == nil {
		return
	}
	e.listener.Close()
	e.listener = nil
	e.serving.Wait()
}

// release gives the port up for good.
func (e *endpoint) release() {
	e.close()
	e.held.Close()
}
