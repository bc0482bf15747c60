//go:build linux

package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// study grows one thing. measure returns its figures for the sizes.
type study struct {
	name    string
	sizes   []int
	measure func(l lab, sizes []int) ([]figure, error)
}

var studies = []study{
	{"choose", []int{10, 100, 1000}, func(_ lab, sizes []int) ([]figure, error) { return choose(sizes) }},
	{"backends", []int{10, 100, 1000}, lab.backends},
	{"lines", []int{100, 1000, 10_000}, lab.lines},
	{"sessions", []int{1000, 4000, mostSessions}, lab.sessions},
	{"sources", []int{100, 1000, 10_000}, lab.sources},
}

// mostSessions is how many sessions there are at most; fewer where descriptors run out before.
const mostSessions = 16_000

// lab is what the studies share.
type lab struct {
	program string
	newDir  func() (string, error)
	server  *server
	watched time.Duration // how long probing is watched
}

// gauge is one figure of a study: what it is at the present size.
type gauge struct {
	name, unit string
	read       func() (float64, error)
}

// repeats is how often what takes a moment is done; the median counts.
const repeats = 5

// milliseconds times something.
func milliseconds(do func() error) func() (float64, error) {
	return func() (float64, error) {
		var all []float64
		for range repeats {
			began := time.Now()
			if err := do(); err != nil {
				return 0, err
			}
			all = append(all, float64(time.Since(began).Microseconds())/1000)
		}
		slices.Sort(all)
		return all[len(all)/2], nil
	}
}

// grow has gauges read at each size. at makes ready for a size and says what clears up.
func grow(name, grows string, sizes []int, at func(n int) ([]gauge, func(), error)) ([]figure, error) {
	var figures []figure
	for k, n := range sizes {
		gauges, done, err := at(n)
		if err != nil {
			return nil, err
		}
		for i, g := range gauges {
			if k == 0 {
				figures = append(figures, figure{study: name, grows: grows, name: g.name, unit: g.unit, sizes: sizes})
			}
			value, err := g.read()
			if err != nil {
				done()
				return nil, err
			}
			figures[i].values = append(figures[i].values, value)
		}
		done()
	}
	return figures, nil
}

// start runs fairlead with a configuration in a directory of its own.
func (l lab) start(config string) (*fairlead, error) {
	dir, err := l.newDir()
	if err != nil {
		return nil, err
	}
	return start(l.program, dir, config)
}

// poolOf are how many backends each pool has.
const poolOf = 10

// pools is the configuration of n backends: pools of ten, each with a listener. weight is that of the last one; detailed
// ones have all that a backend can have.
func (l lab) pools(n, weight int, interval string, detailed bool) string {
	var b strings.Builder
	for i := range n {
		if i%poolOf == 0 {
			fmt.Fprintf(&b, "[[listener]]\nname = \"l%d\"\nbind = \"127.0.0.1:0\"\npool = \"p%d\"\n", i/poolOf, i/poolOf)
			fmt.Fprintf(&b, "[[pool]]\nname = \"p%d\"\nprobe.interval = %q\n", i/poolOf, interval)
		}
		fmt.Fprintf(&b, "[[pool.backend]]\naddress = %q\n", backendAddress(i, l.server.port))
		if detailed {
			fmt.Fprintf(&b, "name = \"fe%d\"\nrole = \"follower\"\nmax_sessions = 1000\nbackup = false\n", i)
		}
		switch {
		case i == n-1:
			fmt.Fprintf(&b, "weight = %d\n", weight)
		case detailed:
			fmt.Fprintln(&b, "weight = 1")
		}
	}
	return b.String()
}

// reload changes a weight back and forth, and has it applied.
func (l lab) reload(f *fairlead, config func(weight int) string) gauge {
	weight := 1
	return gauge{"reload", "ms", milliseconds(func() error {
		weight = 3 - weight
		if err := f.configure(config(weight)); err != nil {
			return err
		}
		return f.run("reload")
	})}
}

func (l lab) backends(sizes []int) ([]figure, error) {
	return grow("backends", "backends", sizes, func(n int) ([]gauge, func(), error) {
		config := func(weight int) string { return l.pools(n, weight, "1s", false) }
		f, err := l.start(config(1))
		if err != nil {
			return nil, nil, err
		}
		length := int64(0)
		return []gauge{
			{"CPU of probing each 1 s", "ms/s", func() (float64, error) { return f.load(l.watched) }},
			{"scrape", "ms", milliseconds(func() (err error) { length, err = f.get("/metrics"); return err })},
			{"its length", "KB", func() (float64, error) { return float64(length) / 1000, nil }},
			{"status", "ms", milliseconds(func() error { _, err := f.get("/status"); return err })},
			l.reload(f, config),
			{"memory", "MB", func() (float64, error) { bytes, err := f.resident(); return bytes / 1e6, err }},
		}, f.stop, nil
	})
}

// load is the processor time of a while, in milliseconds a second.
func (f *fairlead) load(while time.Duration) (float64, error) {
	before, err := f.processor()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	time.Sleep(while)
	after, err := f.processor()
	return (after - before) * 1000 / time.Since(began).Seconds(), err
}

func (l lab) lines(sizes []int) ([]figure, error) {
	return grow("lines", "lines", sizes, func(n int) ([]gauge, func(), error) {
		config := func(weight int) string {
			text := l.pools(max(1, n*poolOf/78), weight, "1m", true) // a pool of ten has 78 lines
			return text + strings.Repeat("# this is a comment\n", max(0, n-strings.Count(text, "\n")))
		}
		f, err := l.start(config(1))
		if err != nil {
			return nil, nil, err
		}
		return []gauge{
			{"check", "ms", milliseconds(func() error { return f.run("check") })},
			l.reload(f, config),
		}, f.stop, nil
	})
}

func (l lab) sessions(sizes []int) ([]figure, error) {
	return grow("sessions", "sessions", sizes, func(n int) ([]gauge, func(), error) {
		f, err := l.start(l.pools(poolOf, 1, "1s", false))
		if err != nil {
			return nil, nil, err
		}
		empty, err := f.resident()
		var clients []net.Conn
		done := func() {
			for _, c := range clients {
				c.Close()
			}
			f.stop()
		}
		each := func(do func(int) error) func() (float64, error) {
			return func() (float64, error) {
				began := time.Now()
				for i := range n {
					if err := do(i); err != nil {
						return 0, err
					}
				}
				return float64(time.Since(began).Microseconds()) / float64(n), nil
			}
		}
		return []gauge{
			{"set-up", "µs each", each(func(int) error {
				c, err := logIn(f.listen, netip.Addr{})
				if err == nil {
					clients = append(clients, c)
				}
				return err
			})},
			{"a question", "µs each", each(func(i int) error { return ping(clients[i]) })},
			{"memory", "KB each", func() (float64, error) { now, err := f.resident(); return max(0, now-empty) / 1000 / float64(n), err }},
			{"scrape", "ms", milliseconds(func() error { _, err := f.get("/metrics"); return err })},
			{"status", "ms", milliseconds(func() error { _, err := f.get("/status"); return err })},
			{"list of all", "ms", milliseconds(f.list)},
		}, done, err
	})
}

func (l lab) sources(sizes []int) ([]figure, error) {
	return grow("sources", "sources", sizes, func(n int) ([]gauge, func(), error) {
		gate := "\nmax_sessions_per_source = 100\nrate_per_source = 100\n"
		f, err := l.start(strings.Replace(l.pools(poolOf, 1, "1s", false), "\npool = ", gate+"pool = ", 1))
		if err != nil {
			return nil, nil, err
		}
		empty, err := f.resident()
		return []gauge{
			{"a session of each", "µs each", func() (float64, error) {
				began := time.Now()
				for i := range n {
					c, err := logIn(f.listen, source(i))
					if err != nil {
						return 0, err
					}
					c.Close()
				}
				return float64(time.Since(began).Microseconds()) / float64(n), nil
			}},
			{"memory", "KB", func() (float64, error) { now, err := f.resident(); return max(0, now-empty) / 1000, err }},
		}, f.stop, err
	})
}
