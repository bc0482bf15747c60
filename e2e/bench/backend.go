//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// firstPort and portSpan are where ports are looked for: below the range that the kernel takes the ports of
// outgoing connections from (net.ipv4.ip_local_port_range), so that none is taken between look and use.
const (
	firstPort = 20000
	portSpan  = 12000
)

// ports hands out ports that nothing listens on. Two benchmarks at once begin at different places.
type ports struct{ next int }

func newPorts() *ports { return &ports{next: os.Getpid()} }

var errNoPort = errors.New("bench: no free port")

func (p *ports) take() (uint16, error) {
	for range portSpan {
		p.next++
		port := firstPort + p.next%portSpan
		listener, err := net.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
		if err == nil {
			listener.Close()
			return uint16(port), nil
		}
	}
	return 0, errNoPort
}

// answerServer is the server's process, with a port for each load.
type answerServer struct {
	cmd   *exec.Cmd
	stdin io.Closer
	ports map[string]uint16 // by load
}

// startAnswerServer starts the sub-command "server" with an address for each of so many peers.
func startAnswerServer(free *ports, peers int, l layout) (*answerServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s := &answerServer{ports: map[string]uint16{}}
	for _, load := range []string{"a", "b", "c", "d"} {
		if s.ports[load], err = free.take(); err != nil {
			return nil, err
		}
	}
	portList := func(loads ...string) string {
		var numbers []uint16
		for _, load := range loads {
			numbers = append(numbers, s.ports[load])
		}
		text, _ := json.Marshal(numbers)
		return string(text)
	}
	s.cmd = exec.Command(self, "server", "--addresses", strconv.Itoa(peers), "--loops", strconv.Itoa(len(l.Server)),
		"--plain", portList("a", "c"), "--greeting", portList("b", "d"))
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	s.stdin = stdin
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if err := startPinned(s.cmd, l.Server); err != nil {
		return nil, fmt.Errorf("bench: start the server: %w", err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		s.stop()
		return nil, fmt.Errorf("bench: the server does not listen: %w", err)
	}
	return s, nil
}

// address is the backend of peer number i under a load.
func (s *answerServer) address(load string, i int) netip.AddrPort {
	return serverAddress(i, s.ports[load])
}

// stop ends the process by ending its input, as the end of this program does.
func (s *answerServer) stop() {
	s.stdin.Close()
	s.cmd.Wait()
}
