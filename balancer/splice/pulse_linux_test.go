package splice

import (
	"context"
	"errors"
	"testing"
)

// TestPulse: every loop answers; one that hangs is noticed.
func TestPulse(t *testing.T) {
	engine, err := New(Options{Kind: "loops", Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	e := engine.(*loops)
	if err := e.Pulse(t.Context()); err != nil {
		t.Error(err)
	}
	held, free := make(chan struct{}), make(chan struct{})
	e.loops[1].post(func() { close(held); <-free })
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Pulse(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a loop that hangs: %v", err)
	}
	close(free)
	if err := e.Pulse(t.Context()); err != nil {
		t.Error(err)
	}
}
