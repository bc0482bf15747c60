package daemon

import (
	"net"
	"sync"
)

// limited is a listener that has no more than so many connections at once; others wait in the kernel's queue.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  sync.Once
}

func limit(l net.Listener, most int) *limited {
	return &limited{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a place, and then for a connection.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &seated{Conn: c, places: l.places}, nil
}

// Close ends waiting, too.
func (l *limited) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// seated is a connection that has a place.
type seated struct {
	net.Conn
	places <-chan struct{}
	leave  sync.Once
}

// Close gives the place back, once.
func (s *seated) Close() error {
	s.leave.Do(func() { <-s.places })
	return s.Conn.Close()
}
