//go:build linux

package main

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/internal/mysqlwire"
)

// mostFailures is how many sessions of a load may break before it is given up.
const mostFailures = 100

// sources is the number of loopback addresses that clients come from: each has a range of ports of its own, of
// which a session's is taken for a second or more after its end.
const sources = 8

// errMarker is the first byte of the payload of an ERR packet.
const errMarker = 0xff

// visitor is one client that makes session after session. Its descriptor is watched for input alone: the greeting
// is the proof that it is connected.
type visitor struct {
	loop     *loadLoop
	self     handler
	source   unix.SockaddrInet4
	fd       int
	greeted  bool
	received int
	packet   [128]byte
	began    time.Duration
	stays    bool
	left     int // sessions still to make; below 0 there is no end
}

// visit lets all visitors make sessions until the load is over.
func (l *load) visit(stays bool, sessions func(visitor int) int) error {
	for i := range l.Connections {
		v := &visitor{loop: l.loops[i%len(l.loops)], stays: stays, left: sessions(i)}
		v.self = v
		v.source.Addr = [4]byte{127, 0, 0, byte(2 + i%sources)}
		l.clients = append(l.clients, v)
	}
	return l.run()
}

// begin opens the next session.
func (v *visitor) begin() {
	for v.left != 0 && !v.loop.load.is(over) {
		v.left--
		v.greeted, v.received, v.began = false, 0, v.loop.load.now()
		err := v.open()
		if err == nil {
			v.loop.underWay++
			return
		}
		v.failed(err)
	}
}

func (v *visitor) open() error {
	fd, err := socket()
	if err != nil {
		return err
	}
	// The port is chosen when the destination is known, so that it may serve others too (ip(7)).
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
		err = unix.Bind(fd, &v.source)
	}
	if err == nil {
		err = connect(fd, v.loop.load.Proxy)
	}
	if err == nil {
		err = v.loop.add(fd, &v.self, unix.EPOLLIN)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	v.fd = fd
	return nil
}

// failed counts a session that broke; too many end the load.
func (v *visitor) failed(err error) {
	if v.loop.failures++; v.loop.failures > mostFailures {
		v.loop.load.fail(fmt.Errorf("%w, the last of %d that broke", err, v.loop.failures))
	}
}

func (v *visitor) ready(uint32) {
	expected := len(okPacket)
	if !v.greeted {
		expected = len(greetingPacket)
	}
	n, errno := read(v.fd, v.packet[v.received:expected])
	if errno == syscall.EAGAIN {
		return
	}
	if errno != 0 || n == 0 {
		v.broke(fmt.Errorf("%w during the login (%v)", errBroken, errno))
		return
	}
	if v.received += n; v.received < expected {
		if v.received > mysqlwire.HeaderLen && v.packet[mysqlwire.HeaderLen] == errMarker {
			v.broke(fmt.Errorf("%w with an ERR packet", errBroken))
		}
		return
	}
	if v.greeted {
		v.loggedIn()
		return
	}
	v.greeted, v.received = true, 0
	if n, errno := write(v.fd, loginPacket); errno != 0 || n != len(loginPacket) {
		v.broke(fmt.Errorf("%w at the login (%v)", errBroken, errno))
	}
}

// broke gives the session up and begins the next.
func (v *visitor) broke(err error) {
	unix.Close(v.fd)
	v.loop.underWay--
	v.failed(err)
	if v.stays {
		v.left++ // for as many as were asked for shall stay
	}
	v.begin()
}

// loggedIn ends the session, or lets it stay, and begins the next.
func (v *visitor) loggedIn() {
	v.loop.done(v.began)
	v.loop.underWay--
	if v.stays {
		v.loop.stay = append(v.loop.stay, v.fd)
		v.loop.load.staying.Add(1)
	} else {
		unix.Close(v.fd)
	}
	v.begin()
}

// logInAndOut carries out load b.
func (l *load) logInAndOut() (measurement, error) {
	if err := l.visit(false, func(int) int { return -1 }); err != nil {
		return nil, err
	}
	return l.rates()
}
