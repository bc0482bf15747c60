package fakefe

import (
	"errors"
	"os"
	"time"
)

// errKilled ends a statement that KILL QUERY names.
var errKilled = errors.New("fakefe: query interrupted")

// awaitVoice waits before the greeting for as long as the fault keeps the FE from speaking.
func (s *session) awaitVoice() error {
	for {
		fault, changed := s.fe.present()
		switch {
		case fault.stopsAccept():
			// As far as the client can see, this connection has not been accepted: nobody looks at its end either.
			if err := s.wait(changed, nil, false); err != nil {
				return err
			}
		case fault == Silent:
			if err := s.wait(changed, nil, true); err != nil {
				return err
			}
		case fault == Slow:
			return s.sleep(slowness)
		default:
			return nil
		}
	}
}

// thaw waits while the FE is frozen.
func (s *session) thaw() error {
	for {
		fault, changed := s.fe.present()
		if !fault.freezes() {
			return nil
		}
		if err := s.wait(changed, nil, false); err != nil {
			return err
		}
	}
}

// thawResult waits in the middle of a result while the fault asks for that. As a real FE does, it ends when the client goes.
func (s *session) thawResult() error {
	for {
		fault, changed := s.fe.present()
		if fault != FreezeMidResult {
			return s.thaw()
		}
		if err := s.out.Flush(); err != nil {
			return err
		}
		if err := s.wait(changed, nil, true); err != nil {
			return err
		}
	}
}

// sleep waits for d. The end of the client ends it, as it cancels a query on a real FE.
func (s *session) sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	if err := s.wait(nil, timer.C, true); err != nil {
		return err
	}
	return s.thaw()
}

// wait returns nil when one of the channels delivers, and errEnded when the connection was cut. With watch it also returns
// errKilled after KILL QUERY, and errEnded when the client has closed the connection: a frozen FE sees neither. A nil
// channel never delivers.
func (s *session) wait(changed <-chan struct{}, timer <-chan time.Time, watch bool) error {
	var killed, gone <-chan struct{}
	if watch {
		killed = s.killed
		var stop func()
		gone, stop = s.watchClient()
		defer stop()
	}
	select {
	case <-changed:
		return nil
	case <-timer:
		return nil
	case <-killed:
		return errKilled
	case <-gone:
		return errEnded
	case <-s.ended:
		return errEnded
	}
}

// watchClient closes gone when the client ends the connection. Bytes that arrive stay in s.in for later, and end the watch
// without a word. stop must be called before s.in is read again.
func (s *session) watchClient() (gone <-chan struct{}, stop func()) {
	end, finished := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(finished)
		if _, err := s.in.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			close(end)
		}
	}()
	return end, func() {
		s.conn.SetReadDeadline(longAgo)
		<-finished
		s.conn.SetReadDeadline(time.Time{})
	}
}
