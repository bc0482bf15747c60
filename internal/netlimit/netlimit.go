// Package netlimit bounds how many connections a server has at once.
package netlimit

import (
	"net"
	"sync"
)

// Listener gives out no more than so many connections of l at once; further ones wait in the kernel's queue until
// one is closed.
func Listener(l net.Listener, most int) net.Listener {
	return &listener{Listener: l, places: make(chan struct{}, most), closed: make(chan struct{})}
}

type listener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  sync.Once
}

// Accept waits for a place, and then for a connection.
func (l *listener) Accept() (net.Conn, error) {
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
	return &conn{Conn: c, places: l.places}, nil
}

// Close ends waiting, too.
func (l *listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type conn struct {
	net.Conn
	places <-chan struct{}
	leave  sync.Once
}

// NetConn is the connection underneath.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Close gives the place back, once.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.leave.Do(func() { <-c.places })
	return err
}
