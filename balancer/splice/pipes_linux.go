package splice

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// smallestPipe is the capacity below which a pipe is not worth having: a user over the soft limit on
	// pipe pages gets pipes of one or two pages (pipe(7)), through which splicing is slower than copying.
	smallestPipe = 64 << 10
	// pipeRetry is the pause after the kernel refused a pipe; bulk data is copied meanwhile.
	pipeRetry = time.Second
)

// pipe is the kernel's buffer between two spliced sockets.
type pipe struct {
	read, write int32
	held        int // bytes inside
}

// pipes is a loop's stock of empty pipes.
type pipes struct {
	free    []*pipe
	made    int // free and borrowed ones
	most    int
	size    int
	blocked int64 // no new pipe before this time
}

// borrow returns an empty pipe, or nil when there is none to be had.
func (p *pipes) borrow(now int64) *pipe {
	if n := len(p.free); n > 0 {
		taken := p.free[n-1]
		p.free = p.free[:n-1]
		return taken
	}
	if p.made >= p.most || now < p.blocked {
		return nil
	}
	made := newPipe(p.size)
	if made == nil {
		p.blocked = now + int64(pipeRetry)
		return nil
	}
	p.made++
	return made
}

// giveBack takes a borrowed pipe; one that still holds bytes is never used again.
func (p *pipes) giveBack(back *pipe) {
	if back.held == 0 && p.most > 0 {
		p.free = append(p.free, back)
		return
	}
	p.made--
	back.close()
}

// close frees the stock; what is still borrowed is closed when it comes back.
func (p *pipes) close() {
	for _, free := range p.free {
		free.close()
	}
	p.made -= len(p.free)
	p.free, p.most = nil, 0
}

func newPipe(size int) *pipe {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	made := &pipe{read: int32(fds[0]), write: int32(fds[1])}
	got, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, size)
	if err != nil { // over a limit: what the kernel gave may still do
		got, err = unix.FcntlInt(uintptr(fds[1]), unix.F_GETPIPE_SZ, 0)
	}
	if err != nil || got < smallestPipe {
		made.close()
		return nil
	}
	return made
}

// drain takes bytes back out of the pipe.
func (p *pipe) drain(b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(p.read), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	p.held -= int(n)
	return int(n), 0
}

func (p *pipe) close() {
	closeFD(p.read)
	closeFD(p.write)
}
