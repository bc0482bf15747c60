package control

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
)

// TestUpgrade asks for upgrades: one that succeeds, one that fails, ones that make no sense, one where there are none.
func TestUpgrade(t *testing.T) {
	_, _, b := serve(t)
	s := NewServer(b, About{}, slog.New(slog.DiscardHandler))
	asked := make(chan time.Duration, 10)
	var failed error
	s.Succeed(Succession{
		Upgrade: func(_ context.Context, timeout time.Duration, by string) (Upgraded, error) {
			asked <- timeout
			return Upgraded{PID: 2, Version: "2.0", FormerPID: 1, Sessions: 3}, failed
		},
		Former: func() []FormerProcess { return []FormerProcess{{PID: 1, Sessions: 3}} },
	})
	c, _ := answering(t, s)
	done, err := c.Upgrade(t.Context(), time.Minute)
	if err != nil || done != (Upgraded{PID: 2, Version: "2.0", FormerPID: 1, Sessions: 3}) || <-asked != time.Minute {
		t.Errorf("%+v, %v", done, err)
	}
	status, err := c.Status(t.Context())
	if err != nil || len(status.Former) != 1 || status.Former[0] != (FormerProcess{1, 3}) {
		t.Errorf("former processes: %+v, %v", status.Former, err)
	}
	failed = errors.New("upgrade: no room")
	if _, err := c.Upgrade(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "no room") || <-asked != 0 {
		t.Errorf("%v", err)
	}
	for _, nonsense := range []time.Duration{-1, LongestUpgrade + 1} {
		if _, err := c.Upgrade(t.Context(), nonsense); err == nil || !strings.Contains(err.Error(), "the request must be") {
			t.Errorf("%v: %v", nonsense, err)
		}
	}
	plain, _, _ := serve(t)
	if _, err := plain.Upgrade(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "restart it") {
		t.Errorf("%v", err)
	}
}

// TestHold: while another process is about to answer, orders wait and questions don't.
func TestHold(t *testing.T) {
	_, _, b := serve(t)
	s := NewServer(b, About{}, slog.New(slog.DiscardHandler))
	s.Hold(true)
	c, _ := answering(t, s)
	given := make(chan error, 1)
	go func() {
		_, err := c.Order(context.Background(), balancer.Drain, Instruction{Backend: "one"})
		given <- err
	}()
	for range 3 {
		if _, err := c.Status(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if b.Pool("fe").Backend("one").State() == balancer.Draining {
		t.Error("the order was not held back")
	}
	s.Hold(false)
	if err := <-given; err != nil || b.Pool("fe").Backend("one").State() != balancer.Draining {
		t.Errorf("the order: %v, and the backend is %v", err, b.Pool("fe").Backend("one").State())
	}
	s.Hold(true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Order(ctx, balancer.Enable, Instruction{Backend: "one"}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

// TestHoldWaits: an order that is being carried out belongs to those that are handed over, so that who holds orders back waits for it.
func TestHoldWaits(t *testing.T) {
	_, _, b := serve(t)
	s := NewServer(b, About{}, slog.New(slog.DiscardHandler))
	keeping, kept := make(chan struct{}), make(chan struct{})
	s.KeepOrders(func() error {
		close(keeping)
		<-kept
		return nil
	})
	c, _ := answering(t, s)
	given := make(chan error, 1)
	go func() {
		_, err := c.Order(context.Background(), balancer.Drain, Instruction{Backend: "one"})
		given <- err
	}()
	<-keeping
	held := make(chan struct{})
	go func() {
		s.Hold(true)
		close(held)
	}()
	for s.ordering.TryRLock() { // until somebody waits to hold orders back
		s.ordering.RUnlock()
		runtime.Gosched()
	}
	select {
	case <-held:
		t.Error("orders are held back while one is being carried out")
	default:
	}
	close(kept)
	if err := <-given; err != nil {
		t.Error(err)
	}
	<-held
}
