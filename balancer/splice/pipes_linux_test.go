package splice

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// carryWhole sends size bytes from server to client, and sees that all arrive.
func carryWhole(t *testing.T, r *rig, size int64) {
	t.Helper()
	sent := make(chan hash.Hash, 1)
	go sendRandom(t, r.server, rand.New(rand.NewPCG(1, uint64(size))), size, sent)
	got := sha256.New()
	n, err := io.Copy(got, r.client)
	if want := <-sent; err != nil || n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Fatalf("%d of %d bytes arrived, %v, or others", n, size, err)
	}
	r.client.Close()
	wantEnd(t, r, ServerClosed)
}

// stock is what a loop has of pipes.
func stock(l *loop) (made, free int) {
	l.on(func() { made, free = l.pipes.made, len(l.pipes.free) })
	return made, free
}

func TestPipesAreGivenBack(t *testing.T) {
	withLoop(t, Options{Pipes: 2}, func(e *loops, l *loop) {
		for range 3 {
			carryWhole(t, connectThrough(t, e, nil), 4<<20)
		}
		if made, free := stock(l); made != 1 || free != 1 {
			t.Errorf("%d pipes made, %d free; want one, in the stock", made, free)
		}
		r := connectThrough(t, e, nil) // not only at the end of a session: also when the data is over
		go r.server.Write(make([]byte, 4<<20))
		if _, err := io.CopyN(io.Discard, r.client, 4<<20); err != nil {
			t.Fatal(err)
		}
		l.until(t, "the pipe to be given back", func() bool { return len(l.pipes.free) == 1 })
		l.on(func() {
			if h := r.task.(*session).halves[server]; h.pipe != nil || h.lent != nil || h.bulk {
				t.Error("an idle session holds a pipe or a buffer, or would take one for its next byte")
			}
		})
	})
}

// Data arrives whole where pipes are forbidden, of a size the kernel does not give, or too small to be of use.
func TestDataArrivesWithoutPipes(t *testing.T) {
	for _, o := range []struct {
		name string
		Options
		pipes int // made in the end
	}{
		{"forbidden", Options{Pipes: 0}, 0},
		{"too large a size", Options{Pipes: 2, PipeSize: 1<<31 + 1}, 1}, // which it refuses: what it gave before will do
		{"too small a size", Options{Pipes: 2, PipeSize: 4096}, 0},
	} {
		t.Run(o.name, func(t *testing.T) {
			withLoop(t, o.Options, func(e *loops, l *loop) {
				carryWhole(t, connectThrough(t, e, nil), 4<<20)
				if made, _ := stock(l); made != o.pipes {
					t.Errorf("%d pipes made, want %d", made, o.pipes)
				}
			})
		})
	}
}

// Sessions that are blocked hold their pipes; the others copy.
func TestPipesAreUsedUp(t *testing.T) {
	withLoop(t, Options{Pipes: 2}, func(e *loops, l *loop) {
		var blocked []*rig
		for range 4 {
			r := connectThrough(t, e, nil)
			blocked = append(blocked, r)
			go io.Copy(r.server, endless{})
			s := r.task.(*session)
			l.until(t, "the session to be blocked", func() bool { return s.halves[server].pending() })
		}
		carryWhole(t, connectThrough(t, e, nil), 4<<20)
		if made, _ := stock(l); made > 2 {
			t.Errorf("%d pipes made, want 2 at most", made)
		}
		for _, r := range blocked {
			r.task.Cut(Killed)
			wantEnd(t, r, Killed)
		}
		if made, free := stock(l); made != free {
			t.Errorf("%d pipes made, %d free", made, free)
		}
		carryWhole(t, connectThrough(t, e, nil), 4<<20)
	})
}

// A pipe in which a session has left bytes is never another's.
func TestPipeWithBytesIsNotReused(t *testing.T) {
	p := pipes{most: 1, size: 256 << 10}
	borrowed := p.borrow(0)
	if borrowed == nil {
		t.Fatal("no pipe")
	}
	if p.borrow(0) != nil {
		t.Fatal("a second pipe, where one is the most")
	}
	if n, err := unix.Write(int(borrowed.write), []byte("left")); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	borrowed.held = 4
	p.giveBack(borrowed)
	if p.made != 0 || len(p.free) != 0 {
		t.Fatalf("%d pipes made, %d free; want none", p.made, len(p.free))
	}
	fresh := p.borrow(0)
	if fresh == nil || fresh == borrowed {
		t.Fatal("no fresh pipe")
	}
	var b [4]byte
	if n, err := unix.Read(int(fresh.read), b[:]); err != unix.EAGAIN {
		t.Fatalf("the fresh pipe holds %q, %v", b[:max(n, 0)], err)
	}
	p.close()
	p.giveBack(fresh)
	if p.made != 0 || p.borrow(0) != nil {
		t.Fatal("a pipe after the stock was closed")
	}
}

// After a refusal the kernel is left alone for a while.
func TestRefusedPipeIsTriedAgainLater(t *testing.T) {
	p := pipes{most: 1, size: 256 << 10}
	restore := withoutDescriptors(t)
	if p.borrow(1) != nil {
		t.Fatal("a pipe without descriptors")
	}
	restore()
	if p.borrow(int64(pipeRetry)) != nil {
		t.Error("a pipe was asked for too early")
	}
	late := p.borrow(1 + int64(pipeRetry))
	if late == nil {
		t.Fatal("no pipe later")
	}
	p.giveBack(late)
	p.close()
}

// Where the kernel can't splice from a socket into a pipe, or from a pipe into a socket, bytes are copied, and none is lost.
func TestSpliceRefused(t *testing.T) {
	t.Run("into the pipe", func(t *testing.T) {
		withLoop(t, Options{Pipes: 1}, func(e *loops, l *loop) {
			l.on(func() { // neither end is a pipe
				read, _ := newSocket(addressOf(listenTCP(t)))
				write, _ := newSocket(addressOf(listenTCP(t)))
				l.pipes.free, l.pipes.made = []*pipe{{read: read, write: write}}, 1
			})
			carryWhole(t, connectThrough(t, e, nil), 4<<20)
			if made, free := stock(l); made != 0 || free != 0 || l.pipes.most != 0 {
				t.Errorf("%d pipes made, %d free, %d allowed; want no more of them", made, free, l.pipes.most)
			}
		})
	})
	t.Run("out of the pipe", func(t *testing.T) {
		withLoop(t, Options{Pipes: 2}, func(e *loops, l *loop) {
			r := connectThrough(t, e, nil)
			s := r.task.(*session)
			l.until(t, "the join", func() bool { return s.state == joined })
			// The kernel splices to nothing that is in append mode (splice(2)).
			if _, err := unix.FcntlInt(uintptr(s.halves[server].dst), unix.F_SETFL, unix.O_NONBLOCK|unix.O_APPEND); err != nil {
				t.Fatal(err)
			}
			carryWhole(t, r, 4<<20)
			if made, free := stock(l); made != 0 || free != 0 || l.pipes.most != 0 {
				t.Errorf("%d pipes made, %d free, %d allowed; want no more of them", made, free, l.pipes.most)
			}
		})
	})
}
