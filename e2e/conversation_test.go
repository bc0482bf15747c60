package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// startEcho starts a server that sends back what it gets, and returns its address.
func startEcho(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// conversation is a session in which known bytes go to a server and come back, in both directions at once, until it is ended.
type conversation struct {
	conn   *net.TCPConn
	stop   chan struct{}
	result chan error
	rounds chan struct{} // one for each that is over
}

func holdConversation(t *testing.T, address string) *conversation {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	v := &conversation{conn: c.(*net.TCPConn), stop: make(chan struct{}), result: make(chan error, 1), rounds: make(chan struct{})}
	go func() { v.result <- v.run() }()
	v.more(t)
	return v
}

// run sends, and compares what comes back. Each round is other bytes, and of another length, up to half a megabyte.
func (v *conversation) run() error {
	for round := uint32(1); ; round++ {
		sent := make([]byte, 1+(round*7919)%(1<<19))
		for i := range sent {
			sent[i] = byte(uint32(i)*2654435761>>11 + round)
		}
		writing := make(chan error, 1)
		go func() { _, err := v.conn.Write(sent); writing <- err }()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(v.conn, got); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := <-writing; err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if !bytes.Equal(sent, got) {
			return fmt.Errorf("round %d: other bytes came back", round)
		}
		select {
		case v.rounds <- struct{}{}:
		case <-v.stop:
			return v.finish()
		}
	}
}

// finish ends the session in order, and wants the same of the other side.
func (v *conversation) finish() error {
	if err := v.conn.CloseWrite(); err != nil {
		return err
	}
	rest, err := io.ReadAll(v.conn)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("at the end %d more bytes came, and %v", len(rest), err)
	}
	return nil
}

// more waits for a few more rounds.
func (v *conversation) more(t *testing.T) {
	t.Helper()
	for range 5 {
		select {
		case <-v.rounds:
		case err := <-v.result:
			t.Fatalf("the long session has ended: %v", err)
		case <-time.After(patience):
			t.Fatal("the long session hangs")
		}
	}
}

func (v *conversation) end(t *testing.T) {
	t.Helper()
	close(v.stop)
	select {
	case err := <-v.result:
		if err != nil {
			t.Errorf("the long session: %v", err)
		}
	case <-time.After(patience):
		t.Error("the long session does not end")
	}
}
