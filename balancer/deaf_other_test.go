//go:build !linux

package balancer

import "testing"

func deafListener(t *testing.T) string {
	t.Skip("needs a listener that drops connections, made with Linux' calls")
	return ""
}
