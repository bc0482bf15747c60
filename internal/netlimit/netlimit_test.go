package netlimit

import (
	"errors"
	"net"
	"testing"
	"time"
)

// patience only ends a test that hangs.
const patience = 30 * time.Second

func listen(t *testing.T, most int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limited := Listener(l, most)
	t.Cleanup(func() { limited.Close() })
	return limited
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAcceptWaitsForAPlace(t *testing.T) {
	l := listen(t, 2)
	for range 3 {
		dial(t, l)
	}
	var served []net.Conn
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		served = append(served, c)
	}
	third := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		third <- c
	}()
	select {
	case <-third:
		t.Fatal("a third connection got in while two were there")
	default:
	}
	served[0].Close()
	served[0].Close() // gives back no second place
	select {
	case c := <-third:
		c.Close()
	case <-time.After(patience):
		t.Fatal("the place that came free was not given out")
	}
	served[1].Close()
}

func TestCloseEndsWaiting(t *testing.T) {
	l := listen(t, 1)
	dial(t, l)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Fatal("Accept still waits")
	}
}
