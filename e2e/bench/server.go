//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// turnBytes bounds what the server writes to one connection before it looks at the others.
const turnBytes = 1 << 20

// serverAddress is where the backend of peer number i listens. Each peer has its own, for the ports of
// connections that have ended stay taken for a while, and a peer should not have to search among those that the
// peer before it has left. Any address in 127.0.0.0/8 is there without being configured.
func serverAddress(i int, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + i)}), port)
}

// serverCommand is the sub-command "server": it answers on the ports given until its standard input ends, and
// prints a line when it listens.
func serverCommand(arguments []string) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	addresses := flags.Int("addresses", 1, "how many addresses to listen on")
	loops := flags.Int("loops", 1, "event loops")
	var ports struct{ plain, greeting []uint16 }
	portList := func(list *[]uint16) func(string) error {
		return func(text string) error { return json.Unmarshal([]byte(text), list) }
	}
	flags.Func("plain", "ports, as [1,2], where the client speaks first", portList(&ports.plain))
	flags.Func("greeting", "ports where the server greets and answers a login with OK", portList(&ports.greeting))
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	s, err := newServer(*loops)
	if err != nil {
		return err
	}
	for i := range *addresses {
		for _, port := range slices.Concat(ports.plain, ports.greeting) {
			if err := s.listen(serverAddress(i, port), slices.Contains(ports.greeting, port)); err != nil {
				return err
			}
		}
	}
	failed := make(chan error, len(s.loops))
	for _, p := range s.loops {
		go func() { failed <- runLoop(p) }()
	}
	fmt.Println("listening")
	go func() {
		io.Copy(io.Discard, os.Stdin)
		failed <- nil
	}()
	return <-failed // the process ends with this, and the loops with it
}

func runLoop(p *poller) error {
	runtime.LockOSThread()
	for {
		if err := p.wait(-1); err != nil {
			return err
		}
	}
}

// server answers requests with as many bytes as they ask for. The first loop accepts, and deals the
// connections out to all loops in turn.
type server struct {
	loops   []*poller
	next    int
	payload [turnBytes]byte
}

func newServer(loops int) (*server, error) {
	s := &server{}
	for range loops {
		p, err := newPoller()
		if err != nil {
			return nil, err
		}
		s.loops = append(s.loops, p)
	}
	return s, nil
}

// doorway is a listening socket.
type doorway struct {
	server *server
	fd     int
	greets bool
}

func (s *server) listen(address netip.AddrPort, greets bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bench: listen on %v: %w", address, err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), // inherited by what is accepted
		unix.Bind(fd, &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}),
		unix.Listen(fd, backlog),
	)
	if err != nil {
		return fmt.Errorf("bench: listen on %v: %w", address, err)
	}
	var h handler = &doorway{s, fd, greets}
	return s.loops[0].add(fd, &h, unix.EPOLLIN)
}

func (d *doorway) ready(uint32) {
	for {
		fd, _, err := unix.Accept4(d.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // none left, or none can be had now: epoll tells again
		}
		s := d.server
		a := &answerer{server: s, loop: s.loops[s.next], fd: fd, greets: d.greets}
		s.next = (s.next + 1) % len(s.loops)
		if d.greets {
			// 78 bytes always fit into a new socket.
			write(fd, greetingPacket)
		}
		var h handler = a
		if a.loop.add(fd, &h, unix.EPOLLIN) != nil {
			unix.Close(fd)
		}
	}
}

// answerer is one accepted connection. Clients send a request only after the last answer.
type answerer struct {
	server   *server
	loop     *poller
	fd       int
	greets   bool
	request  [requestSize]byte
	received int
	owed     int64 // bytes of the answer not written yet
	waiting  bool  // for room to write, not for a request
}

func (a *answerer) ready(uint32) {
	if !a.waiting {
		n, errno := read(a.fd, a.request[a.received:])
		if errno == syscall.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			unix.Close(a.fd)
			return
		}
		if a.received += n; a.received < requestSize {
			return
		}
		a.received = 0
		if a.greets {
			write(a.fd, okPacket)
			return
		}
		a.owed = answerSize(a.request[:])
	}
	a.answer()
}

// answer writes at most turnBytes and waits for the socket's word when more is owed.
func (a *answerer) answer() {
	n, errno := write(a.fd, a.server.payload[:max(1, min(a.owed, turnBytes))])
	if errno != 0 && errno != syscall.EAGAIN {
		unix.Close(a.fd)
		return
	}
	if errno == 0 {
		a.owed -= int64(n)
	}
	if waiting := a.owed > 0; waiting != a.waiting {
		a.waiting = waiting
		events := uint32(unix.EPOLLIN)
		if waiting {
			events = unix.EPOLLOUT
		}
		a.loop.watch(a.fd, events)
	}
}
