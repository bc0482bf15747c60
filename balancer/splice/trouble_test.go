package splice

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestTroubleIsToldOnce(t *testing.T) {
	var told []string
	o := ListenOptions{calm: 10, Trouble: func(err error) {
		switch {
		case err == nil:
			told = append(told, "well")
		case errors.Is(err, syscall.EMFILE) && strings.Contains(err.Error(), "ulimit"):
			told = append(told, "descriptors")
		default:
			told = append(told, err.Error())
		}
	}}
	trouble := newTrouble(o)
	for _, step := range []struct {
		at   int64
		err  error // of accept
		told []string
	}{
		{at: 1},
		{at: 2, err: fmt.Errorf("accept: %w", syscall.EMFILE), told: []string{"descriptors"}},
		{at: 3, err: syscall.EMFILE},
		{at: 4},
		{at: 12, err: syscall.EMFILE},
		{at: 13}, // a session has ended, and let another one in
		{at: 22},
		{at: 23, told: []string{"well"}},
		{at: 24},
		{at: 25, err: syscall.ENOBUFS, told: []string{syscall.ENOBUFS.Error()}},
		{at: 99, told: []string{"well"}},
	} {
		if told = nil; step.err != nil {
			trouble.met(step.err, step.at)
		} else {
			trouble.accepted(step.at)
		}
		if !slices.Equal(told, step.told) {
			t.Errorf("at %d: told %q, want %q", step.at, told, step.told)
		}
	}
}

func TestTroubleNeedsNoListener(t *testing.T) {
	trouble := newTrouble(ListenOptions{calm: 10})
	trouble.met(syscall.EMFILE, 1)
	trouble.accepted(100)
}
