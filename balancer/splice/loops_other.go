//go:build !linux

package splice

import "errors"

const loopsSupported = false

func newLoops(Options) (Engine, error) { return nil, errors.ErrUnsupported }
