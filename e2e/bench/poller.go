//go:build linux

package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// handler is what waits for a descriptor: ready is called on the loop when epoll has something to tell.
type handler interface{ ready(events uint32) }

// mostDescriptors bounds the table of a poller; a limit of descriptors above it goes unused.
const mostDescriptors = 1 << 20

// poller is one level-triggered epoll instance. One goroutine calls wait; add may be called from any.
// Load generator and server are loops on raw sockets rather than goroutines on net.Conn, because what they
// cost is taken from the proxies on a machine with few processors.
type poller struct {
	epoll  int
	table  []atomic.Pointer[handler] // by descriptor; atomic because the server's first loop fills the others' tables
	events [512]unix.EpollEvent
}

func newPoller() (*poller, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("bench: epoll: %w", err)
	}
	limit, err := descriptorLimit()
	if err != nil {
		return nil, err
	}
	return &poller{epoll: epoll, table: make([]atomic.Pointer[handler], min(limit, mostDescriptors))}, nil
}

// add watches fd for h until fd is closed. h is a pointer so that a handler with many descriptors in turn
// need not allocate for each.
func (p *poller) add(fd int, h *handler, events uint32) error {
	if fd >= len(p.table) {
		return fmt.Errorf("bench: descriptor %d: %w", fd, unix.EMFILE)
	}
	p.table[fd].Store(h)
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// watch changes what is waited for.
func (p *poller) watch(fd int, events uint32) error {
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// wait calls the handlers of all descriptors that are ready, or returns after timeout; a negative one waits forever.
func (p *poller) wait(timeout time.Duration) error {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(p.epoll, p.events[:], ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	for _, e := range p.events[:max(n, 0)] {
		if h := p.table[e.Fd].Load(); h != nil {
			(*h).ready(e.Events)
		}
	}
	return nil
}

// descriptorLimit is how many descriptors this process, and each one it starts, may open.
func descriptorLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("bench: descriptor limit: %w", err)
	}
	return int(min(limit.Cur, mostDescriptors)), nil
}

// raiseDescriptorLimit lifts the soft limit to the hard one, for this process and, because it is set
// explicitly, for those it starts.
func raiseDescriptorLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: descriptor limit: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("bench: descriptor limit: %w", err)
	}
	return nil
}

// read, write and discard are non-blocking calls that tell the Go scheduler nothing, for sockets with
// SOCK_NONBLOCK. b must not be empty.
func read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// discard takes up to len(b) bytes off the socket. With MSG_TRUNC the kernel does not copy them (tcp(7)), which
// leaves the processor to the proxy; b stays as it is.
func discard(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)), unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
