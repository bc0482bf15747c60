package splice

import "context"

// Pulse returns nil once every event loop has done what was asked of it now, and so is alive. With ctx it gives up, and
// says so.
func (e *loops) Pulse(ctx context.Context) error {
	beats, asked := make(chan struct{}, len(e.loops)), 0 // room for all: a loop never waits for whoever asks
	for _, l := range e.loops {
		if l.post(func() { beats <- struct{}{} }) {
			asked++
		}
	}
	for range asked {
		select {
		case <-beats:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
