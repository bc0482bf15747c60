package splice

import (
	"io"
	"net"
	"testing"
	"unsafe"
)

// What stays of an idle session is one struct, two slots and a deadline. This pins their sizes, for 100,000 sessions are
// 100,000 of each; 240 bytes is one of the allocator's size classes, and 256 the next.
func TestSizeOfASession(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 240 {
		t.Errorf("a session takes %d bytes", size)
	}
	if size := unsafe.Sizeof(slot{}); size > 16 {
		t.Errorf("a slot takes %d bytes", size)
	}
	if size := unsafe.Sizeof(deadline{}); size > 16 {
		t.Errorf("a deadline takes %d bytes", size)
	}
}

// pingPong returns a function that sends one question and one answer through a session.
func pingPong(t testing.TB, r *rig) func() {
	question, answer := make([]byte, 100), make([]byte, 200)
	exchange := func(from, to *net.TCPConn, text []byte) {
		if _, err := from.Write(text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(to, text); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		exchange(r.client, r.server, question)
		exchange(r.server, r.client, answer)
	}
}

func TestExchangesAllocateNothing(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		r := connectThrough(t, e, func(j *Joint) { j.Idle, j.Linger = hang, hang })
		once := pingPong(t, r)
		once()
		if n := testing.AllocsPerRun(100, once); n != 0 {
			t.Errorf("%v allocations for an exchange", n)
		}
	})
}

func TestBulkAllocatesNothing(t *testing.T) {
	withLoop(t, Options{Pipes: 1}, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		out, in := make([]byte, 4<<20), make([]byte, 4<<20)
		written := make(chan error)
		again := make(chan struct{})
		go func() {
			for range again {
				_, err := r.server.Write(out)
				written <- err
			}
		}()
		defer close(again)
		once := func() {
			again <- struct{}{}
			if _, err := io.ReadFull(r.client, in); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
		once()
		if n := testing.AllocsPerRun(20, once); n != 0 {
			t.Errorf("%v allocations for 4 MB", n)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	for _, kind := range kinds() {
		b.Run(kind, func(b *testing.B) {
			e, err := New(Options{Kind: kind, Loops: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			once := pingPong(b, connectThrough(b, e, nil))
			b.ReportAllocs()
			b.SetBytes(300)
			for b.Loop() {
				once()
			}
		})
	}
}
