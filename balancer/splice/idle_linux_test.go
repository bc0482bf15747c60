package splice

import "testing"

// A session in which something has arrived is not idle, although the loop has not read it yet.
func TestEndIdleLooksForWhatHasArrived(t *testing.T) {
	withLoop(t, Options{}, func(e *loops, l *loop) {
		for _, fromServer := range []bool{false, true} {
			r := between(t, e)
			from, to := r.client, r.server
			if fromServer {
				from, to = to, from
			}
			l.on(func() {
				if _, err := from.Write([]byte(ping)); err != nil {
					t.Error(err)
				}
				if n := l.endIdle([]*session{r.task.(*session)}, 0, 1, DrainedIdle); n != 0 {
					t.Errorf("a session is ended although something has arrived, from the server: %v", fromServer)
				}
			})
			mustRead(t, to, ping)
		}
	})
}
