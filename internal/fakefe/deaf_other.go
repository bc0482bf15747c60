//go:build !linux

package fakefe

import (
	"errors"
	"syscall"
)

func deaf(syscall.Conn) error    { return errors.ErrUnsupported }
func hearing(syscall.Conn) error { return errors.ErrUnsupported }
