package balancer

import (
	"context"
	"fmt"
)

// Pulse returns nil once everything that carries sessions has shown that it is alive: each event loop has done what was
// asked of it now. It gives up with ctx. The engine of goroutines has no loop that could hang.
func (b *Balancer) Pulse(ctx context.Context) error {
	e, ok := b.engine.(interface{ Pulse(context.Context) error })
	if !ok {
		return nil
	}
	if err := e.Pulse(ctx); err != nil {
		return fmt.Errorf("balancer: an event loop does not answer: %w", err)
	}
	return nil
}
