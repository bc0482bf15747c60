package splice

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestWhoIsReset(t *testing.T) {
	for _, c := range []struct {
		end                   End
		client, server, quiet bool // quiet: nothing was on its way
	}{
		{end: ClientClosed},
		{end: ServerClosed},
		{end: ClientReset, server: true},
		{end: ClientDead, server: true},
		{end: ServerReset, client: true},
		{end: ServerDead, client: true},
		{end: IdleTimeout, client: true},
		{end: IdleTimeout, quiet: true},
		{end: LingerTimeout, client: true, quiet: true},
		{end: Unproven, client: true, quiet: true},
		{end: Drained, client: true, quiet: true},
		{end: Killed, client: true, quiet: true},
		{end: BackendDown, client: true, quiet: true},
	} {
		if got := mustReset(client, c.end, c.quiet); got != c.client {
			t.Errorf("%v, quiet %v: the client is reset: %v", c.end, c.quiet, got)
		}
		if got := mustReset(server, c.end, c.quiet); got != c.server {
			t.Errorf("%v, quiet %v: the server is reset: %v", c.end, c.quiet, got)
		}
	}
}

func TestWhoBrokeASession(t *testing.T) {
	for _, c := range []struct {
		side int
		err  error
		end  End
	}{
		{client, syscall.ECONNRESET, ClientReset},
		{server, syscall.EPIPE, ServerReset},
		{client, syscall.ETIMEDOUT, ClientDead},
		{server, fmt.Errorf("read: %w", os.NewSyscallError("read", syscall.EHOSTUNREACH)), ServerDead},
		{server, syscall.ENETUNREACH, ServerDead},
		{client, errors.New("no number"), ClientReset},
	} {
		if got := broken(c.side, c.err); got != c.end {
			t.Errorf("%v on side %d: %v, want %v", c.err, c.side, got, c.end)
		}
	}
}

func TestEndsHaveNames(t *testing.T) {
	seen := map[string]End{}
	for end := Unfinished; end <= BackendDown; end++ {
		name := end.String()
		if other, taken := seen[name]; taken || name == "" {
			t.Errorf("%d and %d are both called %q", other, end, name)
		}
		seen[name] = end
	}
	if name := End(200).String(); name != "end_200" {
		t.Errorf("an unknown end is called %q", name)
	}
}
