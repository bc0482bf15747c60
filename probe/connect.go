package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"fairlead/internal/proxywire"
)

const (
	// closeTime bounds how long an orderly close waits for the server's FIN. A server that reads answers ours
	// at once; one that hangs is closed all the same.
	closeTime = 100 * time.Millisecond
	// closeBytes bounds what is read meanwhile.
	closeBytes = 64 << 10
)

// link is a TCP connection of a probe. Reads and writes end with the probe's context.
type link struct {
	net.Conn
	ctx     context.Context
	release func() bool
}

// connect opens a link to an address, until deadline or the end of ctx at the latest. The attempt closes it
// at its end.
func (a *attempt) connect(ctx context.Context, deadline time.Time, address netip.AddrPort) (*link, *fault) {
	a.result.Step = StepConnect
	start := time.Now()
	conn, err := a.dial(ctx, deadline, address)
	if err != nil {
		return nil, a.connectFault(address, err)
	}
	a.result.Connect = time.Since(start)
	l := &link{Conn: conn, ctx: ctx}
	l.release = context.AfterFunc(ctx, func() { conn.SetDeadline(past) })
	end, _ := ctx.Deadline()
	l.until(end)
	a.links = append(a.links, l)
	if f := a.announce(l, address); f != nil {
		return nil, f
	}
	return l, nil
}

// announce sends the PROXY header that the server waits for.
func (a *attempt) announce(l *link, address netip.AddrPort) *fault {
	if a.config.SendProxy == "" {
		return nil
	}
	header, err := proxywire.Append(nil, a.config.SendProxy, netip.AddrPort{}, netip.AddrPort{})
	if err != nil {
		return misconfigured(StepConnect, "%v", err)
	}
	if _, err := l.Write(header); err != nil {
		return a.connectFault(address, err)
	}
	return nil
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// until sets the deadline of reads and writes; the end of the context comes first.
func (l *link) until(deadline time.Time) {
	l.SetDeadline(deadline)
	if l.ctx.Err() != nil {
		l.SetDeadline(past)
	}
}

func (a *attempt) dial(ctx context.Context, deadline time.Time, address netip.AddrPort) (net.Conn, error) {
	// A probe's connection is too short for keepalive.
	dialer := net.Dialer{Deadline: deadline, KeepAlive: -1}
	source := a.config.Source.Unmap()
	if source.IsValid() && source.Is4() == address.Addr().Unmap().Is4() {
		dialer.LocalAddr = &net.TCPAddr{IP: source.AsSlice(), Zone: source.Zone()}
	}
	return dialer.DialContext(ctx, "tcp", address.String())
}

func (a *attempt) connectFault(address netip.AddrPort, err error) *fault {
	if f := localTrouble(StepConnect, err); f != nil {
		return f
	}
	switch {
	case isTimeout(err):
		return unfit(StepConnect, failConnectTimeout, "no answer from %s within %s", address, span(a.config.Timeout))
	case errors.Is(err, syscall.ECONNREFUSED):
		return unfit(StepConnect, failConnectRefused, "%s refuses connections (nothing listens there)", address)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unfit(StepConnect, failConnectUnreachable, "%s can't be reached: %s", address, rootCause(err))
	}
	return unfit(StepConnect, failConnectError, "to %s: %s", address, rootCause(err))
}

// closeLinks closes in an orderly way, with FIN: a reset makes a front end log a stack trace, and closing
// with unread data would send one. So it says that nothing more will come, waits for the server to say the same,
// and reads what it says before.
func closeLinks(ctx context.Context, links []*link) {
	wait := closeTime
	if errors.Is(ctx.Err(), context.Canceled) {
		wait = 0
	}
	deadline := time.Now().Add(wait)
	for _, l := range links {
		l.release()
		if half, ok := l.Conn.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		}
		l.SetReadDeadline(deadline)
	}
	for _, l := range links {
		io.CopyN(io.Discard, l.Conn, closeBytes)
		l.Close()
	}
}

// tcp is the probe that connects and no more.
func (a *attempt) tcp(ctx context.Context) *fault {
	return a.first(ctx, func(deadline time.Time, address netip.AddrPort) *fault {
		_, f := a.connect(ctx, deadline, address)
		return f
	})
}
