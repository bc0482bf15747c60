package balancer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// directory is a fake of the system's resolver.
type directory struct {
	mu      sync.Mutex
	answers map[string][]string
	err     error
	asked   int
	answer  chan struct{} // when set, an answer waits for it, or for the end of its context
}

func (d *directory) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	d.asked++
	wait := d.answer
	d.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil, d.err
	}
	var found []netip.Addr
	for _, a := range d.answers[host] {
		found = append(found, netip.MustParseAddr(a))
	}
	return found, nil
}

// say changes the answer for fe.
func (d *directory) say(err error, addresses ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers, d.err = map[string][]string{"fe": addresses}, err
}

// looks is how often it was asked since the last time.
func (d *directory) looks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.asked
	d.asked = 0
	return n
}

// naming runs the resolver of a backend called fe:9030, in fake time, and ends it.
func naming(t *testing.T, expand bool, test func(t *testing.T, r *poolRig, d *directory)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *PoolConfig) { c.ResolveInterval = 10 * time.Second })
		d := &directory{}
		d.say(nil, "10.0.0.2", "10.0.0.1")
		ctx, end := context.WithCancel(t.Context())
		r.Pool.roster.lookup = d.lookup
		e, err := r.Pool.roster.admit(BackendConfig{Address: "fe:9030", Weight: 1, Expand: expand}, false)
		if err != nil || e.resolver == nil {
			t.Fatal(e, err)
		}
		r.Pool.roster.mu.entries = []*entry{e}
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.resolver.run(ctx, nil)
		}()
		synctest.Wait()
		test(t, r, d)
		end()
		<-done
	})
}

func (r *poolRig) wantAddresses(want ...string) {
	r.t.Helper()
	var got []string
	for _, a := range r.Backend("fe:9030").Addresses() {
		got = append(got, a.String())
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("the addresses are %v, want %v", got, want)
	}
}

func (r *poolRig) wantMembers(want ...string) {
	r.t.Helper()
	var got []string
	for _, b := range r.Backends() {
		got = append(got, b.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		r.t.Errorf("the members are %v, want %v", got, want)
	}
}

// next lets the time of one look-up pass.
func next() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func TestNameWithSeveralAddresses(t *testing.T) {
	naming(t, false, func(t *testing.T, r *poolRig, d *directory) {
		r.wantAddresses("10.0.0.1:9030", "10.0.0.2:9030")
		b := r.Backend("fe:9030")
		b.prefer(netip.MustParseAddrPort("10.0.0.2:9030"))
		d.say(nil, "10.0.0.1", "10.0.0.2", "10.0.0.1", "::ffff:10.0.0.2")
		next() // shuffled, told twice, in another form: no change
		r.wantAddresses("10.0.0.2:9030", "10.0.0.1:9030")
		d.say(nil, "10.0.0.3", "fd00::1")
		next()
		r.wantAddresses("10.0.0.3:9030", "[fd00::1]:9030")
		if lines := r.log.with("name has other addresses", "host=fe"); len(lines) != 1 {
			t.Errorf("logged %q, want one line", lines)
		}
		if got := r.watched.took(); !slices.Equal(got, []string{"watch fe:9030", "watch fe:9030"}) {
			t.Errorf("the watcher was told %q: once at the start, once when addresses came", got)
		}
	})
}

func TestFailingLookupsKeepWhatIsKnown(t *testing.T) {
	for name, fail := range map[string]func(*directory){
		"an error": func(d *directory) { d.say(errors.New("no such host")) },
		"nothing":  func(d *directory) { d.say(nil) },
		"silence":  func(d *directory) { d.mu.Lock(); d.answer = make(chan struct{}); d.mu.Unlock() },
	} {
		t.Run(name, func(t *testing.T) {
			naming(t, false, func(t *testing.T, r *poolRig, d *directory) {
				fail(d)
				for range 5 {
					next()
				}
				r.wantAddresses("10.0.0.1:9030", "10.0.0.2:9030")
				if lines := r.log.with("WARN", "does not resolve", "host=fe", "known=2"); len(lines) != 1 {
					t.Errorf("logged %q, want one warning", lines)
				}
				if n := d.looks(); n < 8 {
					t.Errorf("asked %d times in 50 seconds: a failure is to be tried again soon", n)
				}
				d.mu.Lock()
				d.answer = nil
				d.mu.Unlock()
				d.say(nil, "10.0.0.7")
				next()
				r.wantAddresses("10.0.0.7:9030")
				if lines := r.log.with("name resolves again"); len(lines) != 1 {
					t.Errorf("logged %q, want one line", lines)
				}
			})
		})
	}
}

func TestExpand(t *testing.T) {
	naming(t, true, func(t *testing.T, r *poolRig, d *directory) {
		r.wantMembers("10.0.0.1:9030", "10.0.0.2:9030")
		l := r.take("", Request{Tried: []*Backend{r.Backend("10.0.0.2:9030")}})
		d.say(nil, "10.0.0.2", "10.0.0.3")
		next()
		r.wantMembers("10.0.0.2:9030", "10.0.0.3:9030")
		if b := r.Backend("10.0.0.3:9030"); b.Host != "10.0.0.3" || b.Config().Weight != 1 {
			t.Errorf("the new one: host %s, %+v", b.Host, b.Config())
		}
		d.say(errors.New("no such host"))
		next()
		r.wantMembers("10.0.0.2:9030", "10.0.0.3:9030")
		d.say(nil, "10.0.0.1")
		next()
		r.wantMembers("10.0.0.1:9030")
		l.Release() // the old 10.0.0.1 and the new one are not the same
		if _, there := gauge(t, r.metrics, "bytes_total", "10.0.0.1:9030"); !there {
			t.Error("the series of the new 10.0.0.1 went with the old one")
		}
	})
}

// TestExpandLeavesNoGap: when all addresses change, somebody can serve at every moment.
func TestExpandLeavesNoGap(t *testing.T) {
	naming(t, true, func(t *testing.T, r *poolRig, d *directory) {
		r.Pool.watcher = watcherOf(func() {
			if l, err := r.Acquire(Request{}); err != nil {
				t.Errorf("in between: %v", err)
			} else {
				l.Release()
			}
		})
		d.say(nil, "10.0.0.8", "10.0.0.9")
		next()
		r.wantMembers("10.0.0.8:9030", "10.0.0.9:9030")
	})
}

// watcherOf looks at the pool whenever it is told that members change.
type watcherOf func()

func (w watcherOf) Watch(*Backend)   { w() }
func (w watcherOf) Forget(*Backend)  { w() }
func (w watcherOf) Suspect(*Backend) {}

func TestExpandLeavesOthersAlone(t *testing.T) {
	naming(t, true, func(t *testing.T, r *poolRig, d *directory) {
		other := r.add(BackendConfig{Weight: 5}, "10.0.0.4:9030", "10.0.0.4", []netip.AddrPort{netip.MustParseAddrPort("10.0.0.4:9030")}, false)
		d.say(nil, "10.0.0.1", "10.0.0.4")
		next()
		r.wantMembers("10.0.0.1:9030", "10.0.0.4:9030")
		if r.Backend("10.0.0.4:9030") != other {
			t.Error("a member of another origin was replaced")
		}
		d.say(nil, "10.0.0.1")
		next()
		r.wantMembers("10.0.0.1:9030", "10.0.0.4:9030") // it is not the name's to remove
		d.say(nil, "10.0.0.1", "10.0.0.4")
		next()
		r.remove(other)
		next()
		r.wantMembers("10.0.0.1:9030", "10.0.0.4:9030") // now it is the name's
		if r.Backend("10.0.0.4:9030").Config().Weight != 1 {
			t.Error("it has the weight of the one that was removed")
		}
	})
}

func TestNoLookupForAddresses(t *testing.T) {
	r := newRig(t, nil)
	for _, address := range []string{"127.0.0.1:9030", "[::1]:9030", "[::ffff:10.0.0.1]:9030"} {
		e, err := r.Pool.roster.admit(BackendConfig{Address: address, Weight: 1}, false)
		if err != nil || e.resolver != nil {
			t.Errorf("%s: %v, %v", address, e, err)
		}
	}
	if got := r.Backends()[2].Addresses()[0].String(); got != "10.0.0.1:9030" {
		t.Errorf("an IPv4 address in IPv6's clothes: %s", got)
	}
	for _, bad := range []string{"", "fe", "fe:port", "fe:70000"} {
		if _, err := r.Pool.roster.admit(BackendConfig{Address: bad}, false); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
}
