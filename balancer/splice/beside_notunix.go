//go:build !unix

package splice

import (
	"errors"
	"syscall"
)

func shareAddress(syscall.RawConn, bool) error { return errors.ErrUnsupported }
