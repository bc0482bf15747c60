package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead/balancer"
	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

// deed is something that is done in a chaos: to a front end, or to fairlead itself.
type deed struct {
	name              string
	weight            int // how often, against the others
	shortest, longest time.Duration
	own               bool // done to fairlead
	shortage          bool // while which fairlead may refuse logins
	kills             bool // sessions of the front end may end
	drops             bool // logins that it has greeted may be lost
	refuses           bool // statements may be refused there
	atRest            bool // sessions end between two questions only
	isolated          bool // needs namespaces of its own
	begin, end        func(c *chaos, q cue) error
}

// deeds are all there are.
func deeds() []*deed {
	const s, ms = time.Second, time.Millisecond
	suffers := func(f fakefe.Fault) func(c *chaos, q cue) error {
		return func(c *chaos, q cue) error { return c.fes[q.fe].Set(f) }
	}
	fault := func(weight int, f fakefe.Fault, shortest, longest time.Duration) *deed {
		return &deed{name: f.String(), weight: weight, shortest: shortest, longest: longest, begin: suffers(f), end: suffers(fakefe.None)}
	}
	killing := func(d *deed) *deed { d.kills = true; return d }
	behind := fault(2, fakefe.FallBehind, 200*ms, 4*s)
	behind.refuses = true
	dropping := func(d *deed) *deed { d.drops = true; return d }
	return append(reloadDeeds(), []*deed{
		killing(fault(6, fakefe.Kill, 50*ms, 4*s)),
		fault(3, fakefe.Refuse, 50*ms, 4*s),
		fault(3, fakefe.Silent, 50*ms, 4*s),
		fault(3, fakefe.Hang, 50*ms, 4*s),
		dropping(fault(5, fakefe.Freeze, 50*ms, 5*s)), // one that has gone down in silence is not waited for
		fault(2, fakefe.ErrorFirst, 50*ms, 3*s),
		dropping(fault(2, fakefe.ResetAfterGreeting, 50*ms, 3*s)),
		fault(2, fakefe.FreezeMidResult, 50*ms, 3*s),
		fault(3, fakefe.Slow, 500*ms, 4*s),
		behind,
		{name: "short black hole", weight: 3, shortest: 50 * ms, longest: 800 * ms, drops: true, begin: suffers(fakefe.BlackHole), end: suffers(fakefe.None)},
		{name: "black hole, and a new start", weight: 3, shortest: s, longest: 7 * s, kills: true, begin: suffers(fakefe.BlackHole),
			end: func(c *chaos, q cue) error {
				return errors.Join(c.fes[q.fe].Set(fakefe.Kill), c.fes[q.fe].Set(fakefe.None))
			}},
		{name: "graceful leave", weight: 4, shortest: s, longest: 6 * s, kills: true, begin: leave, end: suffers(fakefe.None)},
		{name: "connections cut", weight: 4, kills: true, begin: cutSome},
		{name: "drain", weight: 3, shortest: 100 * ms, longest: 4 * s, begin: ordered(balancer.Drain, control.Instruction{}), end: enable},
		{name: "drain of what is idle", weight: 2, shortest: 100 * ms, longest: 4 * s, kills: true, atRest: true,
			begin: ordered(balancer.Drain, control.Instruction{CloseIdle: true}), end: enable},
		{name: "drain with a deadline", weight: 2, shortest: 500 * ms, longest: 3 * s, kills: true, end: enable,
			begin: ordered(balancer.Drain, control.Instruction{Deadline: "300ms"})},
		{name: "disable", weight: 2, shortest: 100 * ms, longest: 3 * s, begin: ordered(balancer.Disable, control.Instruction{}), end: enable},

		{name: "stopped", weight: 3, shortest: 50 * ms, longest: 2500 * ms, own: true, begin: stop},
		{name: "few descriptors", weight: 2, shortest: 100 * ms, longest: 2 * s, own: true, shortage: true, begin: fewDescriptors},
		{name: "few source ports", weight: 2, shortest: 100 * ms, longest: 2 * s, own: true, shortage: true, isolated: true, begin: fewPorts},
		{name: "no room for the log", weight: 2, shortest: 500 * ms, longest: 3 * s, own: true, isolated: true, begin: fillLog, end: emptyLog},
		{name: "clock jump", weight: 4, own: true, begin: clockJumps},
		{name: "upgrade", weight: 2, own: true, isolated: true, begin: upgrade},
		{name: "strangers", weight: 3, own: true, begin: flood},
		{name: "questions by operators", weight: 2, own: true, begin: inquire},
	}...)
}

// leave is a quick graceful leave. It may be called off by its end.
func leave(c *chaos, q cue) error {
	c.fes[q.fe].Leave(fakefe.Leaving{Min: q.takes / 3, Max: q.takes * 3 / 4, Every: 100 * time.Millisecond, Idle: 200 * time.Millisecond})
	return nil
}

// cutSome ends some connections of a front end, by reset or not.
func cutSome(c *chaos, q cue) error {
	random := rand.New(rand.NewPCG(q.pick, 0))
	for _, id := range slices.Sorted(slices.Values(c.judge.connectionsAt(c.fes[q.fe].Name()))) {
		if random.IntN(3) == 0 {
			c.fes[q.fe].Cut(id, random.IntN(2) == 0)
		}
	}
	return nil
}

// ordered gives an order about a front end.
func ordered(o balancer.Order, how control.Instruction) func(c *chaos, q cue) error {
	return func(c *chaos, q cue) error {
		ctx, cancel := c.patiently()
		defer cancel()
		how.Backend = c.fes[q.fe].Name()
		_, err := c.control.Order(ctx, o, how)
		return err
	}
}

var enable = ordered(balancer.Enable, control.Instruction{})

// stop freezes fairlead, as a machine does whose memory is being moved elsewhere. It takes its time here.
func stop(c *chaos, q cue) error {
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	<-time.After(q.takes)
	return c.signal(syscall.SIGCONT)
}

// fewDescriptors leaves fairlead hardly more descriptors than it has.
func fewDescriptors(c *chaos, q cue) error {
	pid := c.serving.pid()
	var usual unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &usual); err != nil {
		return err
	}
	used, err := c.descriptors()
	if err != nil {
		return err
	}
	few := unix.Rlimit{Cur: uint64(used) + q.pick%8, Max: usual.Max}
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		return err
	}
	<-time.After(q.takes)
	return unix.Prlimit(pid, unix.RLIMIT_NOFILE, &usual, nil)
}

// fewPorts leaves the kernel two ports for connections that don't choose theirs, as fairlead's.
func fewPorts(_ *chaos, q cue) error {
	const path = "/proc/sys/net/ipv4/ip_local_port_range"
	usual, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte("61000 61001"), 0); err != nil {
		return err
	}
	<-time.After(q.takes)
	return os.WriteFile(path, usual, 0)
}

// fillLog leaves no room where the log is written.
func fillLog(c *chaos, _ cue) error {
	f, err := os.Create(c.filler())
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func emptyLog(c *chaos, _ cue) error { return os.Remove(c.filler()) }

func (c *chaos) filler() string { return filepath.Join(filepath.Dir(c.logFile), "filler") }

// flood has strangers come, some at the same time. It does not wait for them.
func flood(c *chaos, q cue) error {
	random := rand.New(rand.NewPCG(q.pick, 0))
	n, atOnce := 50+random.IntN(200), 20+random.IntN(80)
	var next sync.Mutex
	for range atOnce {
		c.strangers.Go(func() {
			for {
				next.Lock()
				n--
				over, s, stays := n < 0, strangers[random.IntN(len(strangers))], time.Duration(random.Int64N(int64(2*time.Second)))
				next.Unlock()
				if over {
					return
				}
				if slices.Contains(s.reasons, "login_timeout") { // which is long here: it goes by itself
					s = stranger{speak: func(conn net.Conn) error { <-time.After(stays); return conn.Close() }}
				}
				_ = s.visit(c.address) // what it is told depends on what else is going on
				c.judge.stranger()
			}
		})
	}
	return nil
}

// inquire asks all that operators and their programs ask. It does not wait for the answers.
func inquire(c *chaos, q cue) error {
	for range 1 + q.pick%20 {
		c.strangers.Go(func() {
			ctx, cancel := c.patiently()
			defer cancel()
			_, _ = c.control.Status(ctx)
			_, _, _ = c.control.Sessions(ctx, control.SessionsQuery{})
			for _, page := range []string{"/", "/status", "/metrics", "/readyz", "/healthz"} {
				_, _ = c.get(page)
			}
		})
	}
	return nil
}

// portInUse tells whether a port that was chosen is not to be had.
func portInUse(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// connectionsAt are the numbers of a server's sessions, as their clients know them.
func (j *judge) connectionsAt(server string) []uint32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []uint32
	for id := range j.mu.live[server] {
		all = append(all, id)
	}
	return all
}

// descriptors counts those of fairlead.
func (c *chaos) descriptors() (int, error) {
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.serving.pid()))
	return len(all), err
}
