package balancer

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"fairlead/internal/fakefe"
)

// TestOwnShortageOfDescriptors: without a descriptor for the backend's side the client is told, and no backend blamed.
func TestOwnShortageOfDescriptors(t *testing.T) {
	eachEngine(t, func(t *testing.T, kind string) {
		fes, addresses := startFEs(t, 2, nil)
		r := serve(t, kind, nil, addresses...)
		r.enter().Close() // whatever is opened once is open now
		r.wantEnd("client_closed")
		for _, fe := range fes { // or its end would give a descriptor back in the midst of this
			if err := fe.Await(t.Context(), func(c fakefe.Counts) bool { return c.Connections() == 0 }); err != nil {
				t.Fatal(err)
			}
		}

		spare, restore := useUpDescriptors(t)
		defer restore()
		for range 2 { // the client's socket here, and the accepted one
			unix.Close((*spare)[len(*spare)-1])
			*spare = (*spare)[:len(*spare)-1]
		}
		c := r.dial()
		answer := c.wantGone()
		restore()
		if !strings.Contains(answer, "08004fairlead: pool \"fe\": no backend is available (out of descriptors)") {
			t.Errorf("the client reads %q", answer)
		}
		s := r.wantReject("no_backend")
		if s.Backend != "" {
			t.Errorf("the record is %+v", s)
		}
		for _, b := range r.Pool("fe").Backends() {
			if b.State() != Unknown {
				t.Errorf("%v is %v", b, b.State())
			}
		}
		r.enter().Close()
		r.wantEnd("client_closed")
	})
}

// useUpDescriptors opens descriptors until there are none. restore may be called twice.
func useUpDescriptors(t *testing.T) (spare *[]int, restore func()) {
	t.Helper()
	var usual unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	spare = new([]int)
	restore = func() {
		for _, fd := range *spare {
			unix.Close(fd)
		}
		*spare = nil
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &usual); err != nil {
			t.Error(err)
		}
	}
	few := usual
	few.Cur = min(usual.Cur, 256)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		*spare = append(*spare, fd)
	}
	if len(*spare) < 2 {
		restore()
		t.Skip("this process has more than 250 descriptors open")
	}
	return spare, restore
}
