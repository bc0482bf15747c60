package splice

import (
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What a side that reads slowly takes counts against idling, not only what comes in for it.
func TestSlowReaderIsNotIdle(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	setInt(int32(fds[0]), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10)
	l, s := &loop{now: 7}, &session{}
	h := &half{dst: int32(fds[0]), lent: new(buffer), to: bufferSize}
	if errno := l.flush(s, h); errno != unix.EAGAIN || h.from == 0 || s.active != 7 {
		t.Fatalf("got %v, %d bytes written, active at %d; want EAGAIN after some bytes, at 7", errno, h.from, s.active)
	}
	l.now = 8
	if errno := l.flush(s, h); errno != unix.EAGAIN || s.active != 7 {
		t.Fatalf("got %v, active at %d; want EAGAIN, and still 7 when nothing was taken", errno, s.active)
	}
}

// A client that closes, and is reset before the loop has looked, gets no answer any more: the session ends.
func TestResetRightAfterFIN(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		mustWrite(t, r.client, "x")
		mustRead(t, r.server, "x")
		release := l.hold()
		mustWrite(t, r.client, "last words")
		_ = r.client.CloseWrite()
		reset(r.client)
		release()
		wantEnd(t, r, ClientReset)
		mustRead(t, r.server, "last words")
		wantEOF(t, r.server)
	})
}

// A client that breaks ends its session even while the server reads nothing.
func TestClientResetWhileItsServerDoesNotRead(t *testing.T) {
	withLoop(t, Options{Pipes: 1}, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		s := r.task.(*session)
		go io.Copy(r.client, endless{})
		l.until(t, "the way to the server to be blocked", func() bool { return s.halves[client].pending() })
		reset(r.client)
		wantEnd(t, r, ClientReset)
		wantReset(t, r.server)
	})
}

// A peer that the kernel has given up on is dead, not reset, also when it is found out by a write.
func TestDeadClientIsFoundByAWrite(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		r := connectThrough(t, e, nil)
		s := r.task.(*session)
		l.until(t, "the join", func() bool { return s.state == joined })
		_ = r.client.SetReadBuffer(4 << 10)
		fd := s.halves[server].dst
		setInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 50)
		if _, err := r.server.Write(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
		l.until(t, "all to be on its way", func() bool { return s.halves[server].moved == 64<<10 && !s.halves[server].pending() })
		release := l.hold()
		mustWrite(t, r.server, "more")
		eventually(t, "the kernel to give the client up", func() bool {
			info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
			return err != nil || info.State == 7 // TCP_CLOSE
		})
		release()
		wantEnd(t, r, ClientDead)
	})
}

// A server's end that the client was told of is not taken back by a reset: the client may still be reading.
func TestWhatWasSentBeforeTheEndOutlivesLinger(t *testing.T) {
	const size = 150 << 10
	eachEngine(t, func(t *testing.T, e Engine) {
		r := connectThrough(t, e, func(j *Joint) { j.Linger = 20 * time.Millisecond })
		if _, err := r.server.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		_ = r.server.CloseWrite()
		wantEnd(t, r, LingerTimeout)
		if n, err := io.Copy(io.Discard, r.client); n != size || err != nil {
			t.Fatalf("the client read %d of %d bytes, %v", n, size, err)
		}
	})
}
