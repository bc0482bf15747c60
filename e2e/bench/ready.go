//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

var errNotReady = errors.New("bench: does not serve")

// retryEvery is the pause between two attempts to reach a proxy that is starting.
const retryEvery = 5 * time.Millisecond

// waitReady returns when a whole round trip has gone through to the server: a greeting on a MySQL
// route, a request for one byte on a plain one. It gives up when the process ends or ctx does.
func waitReady(ctx context.Context, p *process, r route) error {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		err := roundTrip(ctx, r)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return p.earlyEnd()
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNotReady, err)
		case <-retry.C:
		}
	}
}

func roundTrip(ctx context.Context, r route) error {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", r.Listen.String())
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		connection.SetDeadline(deadline)
	}
	if r.Protocol == plainTCP {
		if _, err := connection.Write(appendRequest(nil, 1)); err != nil {
			return err
		}
		_, err := io.ReadFull(connection, make([]byte, 1))
		return err
	}
	_, err = io.ReadFull(connection, make([]byte, len(greetingPacket))) // MariaDB's is longer
	return err
}

// quietReadings in a row with the same number of descriptors mean that a proxy has done with the connections of the
// readiness check, and that what is counted from now on is the load's.
const quietReadings = 5

// waitQuiet returns when the processes open and close no descriptors any more.
func waitQuiet(ctx context.Context, pids []int) error {
	next := time.NewTicker(retryEvery)
	defer next.Stop()
	for last, same := -1, 0; same < quietReadings; {
		count, err := openDescriptors(pids)
		if err != nil {
			return err
		}
		if count != last {
			same = 0
		}
		last = count
		same++
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: its descriptors come and go", errNotReady)
		case <-next.C:
		}
	}
	return nil
}
