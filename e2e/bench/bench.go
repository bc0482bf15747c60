//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// mostIdle is how many idle sessions one address of the server can take: a proxy needs a port of its own for each,
// of some 28,000 that the kernel gives out.
const mostIdle = 25_000

// mostLogins bounds load b: sessions that have ended hold their ports for a while.
const mostLogins = 200_000

// readyTimeout bounds the start of a proxy.
const readyTimeout = 20 * time.Second

// bench is one run of the program.
type bench struct {
	settings settings
	patience time.Duration // what hangs for longer is ended
	layout   layout
	limit    int // descriptors of every process
	dir      string
	peers    []peer
	cases    []loadCase
	ports    *ports
	server   *answerServer
	database *database // nil without load e
	notes    []string
	results  map[resultKey][]measurement // one for each round; of a failed run it is nil
	failures map[resultKey][]error
}

// resultKey names the runs of one peer under one load.
type resultKey struct{ Case, Peer string }

// newBench finds the peers and starts the servers.
func newBench(ctx context.Context, s settings, dir string) (*bench, error) {
	b := &bench{settings: s, patience: patience, dir: dir, ports: newPorts(),
		results: map[resultKey][]measurement{}, failures: map[resultKey][]error{}}
	usable, err := usableProcessors()
	if err != nil {
		return nil, err
	}
	if b.layout, err = chooseLayout(s.layout, usable); err != nil {
		return nil, err
	}
	if b.limit, err = descriptorLimit(); err != nil {
		return nil, err
	}
	if b.cases, err = chooseCases(s.Loads); err != nil {
		return nil, err
	}
	binary, err := b.fairlead(ctx)
	if err != nil {
		return nil, err
	}
	var absent []error
	if b.peers, absent, err = findPeers(ctx, s.peers, binary); err != nil {
		return nil, err
	}
	for _, err := range absent {
		b.notes = append(b.notes, "left out: "+err.Error())
	}
	if b.server, err = startAnswerServer(b.ports, len(b.peers), b.layout); err != nil {
		return nil, err
	}
	if err := b.startDatabase(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// startDatabase does so when load e is wanted; without the programs it is left out.
func (b *bench) startDatabase(ctx context.Context) error {
	isE := func(c loadCase) bool { return c.Load == "e" }
	if !slices.ContainsFunc(b.cases, isE) {
		return nil
	}
	var err error
	if b.database, err = startDatabase(ctx, b.ports, b.dir, b.layout); errors.Is(err, errAbsent) {
		b.cases = slices.DeleteFunc(b.cases, isE)
		b.notes = append(b.notes, "load e is left out: "+err.Error())
		return nil
	}
	return err
}

func (b *bench) close() {
	b.server.stop()
	if b.database != nil {
		b.database.process.stop()
	}
}

// fairlead gives the binary to measure, built when none was named; none at all when it is not among the peers.
func (b *bench) fairlead(ctx context.Context) (string, error) {
	if len(b.settings.peers) > 0 && !slices.Contains(b.settings.peers, ownName) {
		return "", nil
	}
	if b.settings.fairlead != "" {
		path, err := filepath.Abs(b.settings.fairlead)
		if err != nil {
			return "", fmt.Errorf("bench: %w", err)
		}
		return path, nil
	}
	path := filepath.Join(b.dir, "fairlead")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", path, "fairlead").CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: go build: %w: %s", err, output)
	}
	return path, nil
}

// measureAll runs every load over every peer in every round. A peer that fails is told of and missing in
// that place; it ends nothing.
func (b *bench) measureAll(ctx context.Context) error {
	for round := range b.settings.Rounds {
		for i, c := range b.cases {
			peers := rotate(b.peers, round+i)
			measure := b.measureEach
			if c.takesTurns() {
				measure = b.measureInTurns
			}
			results := measure(ctx, c, peers)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			for k, p := range peers {
				b.note(round, c, p, results[k])
			}
		}
	}
	return nil
}

// note keeps what a round of a peer has given, and tells it.
func (b *bench) note(round int, c loadCase, p peer, o outcome) {
	key := resultKey{c.Key, p.name}
	b.results[key] = append(b.results[key], o.m)
	fmt.Fprintf(os.Stderr, "round %d/%d  %-28s %-16s", round+1, b.settings.Rounds, c.Title, p.name)
	if o.err != nil {
		b.failures[key] = append(b.failures[key], o.err)
		fmt.Fprintln(os.Stderr, " failed:", o.err)
		return
	}
	fmt.Fprintf(os.Stderr, " %s/s, p50 %s, CPU %s\n", cell(operations, o.m), cell(latency50, o.m), cell(cpuMetric(c), o.m))
}

// outcome is what a round has given for one peer.
type outcome struct {
	m   measurement // nil with an error
	err error
}

// measureEach measures one peer after the other.
func (b *bench) measureEach(ctx context.Context, c loadCase, peers []peer) []outcome {
	results := make([]outcome, len(peers))
	for i, p := range peers {
		if ctx.Err() == nil {
			results[i].m, results[i].err = b.measure(ctx, c, p)
		}
	}
	return results
}

// measure starts the peer, puts it under the load and ends it.
func (b *bench) measure(ctx context.Context, c loadCase, p peer) (measurement, error) {
	proxy, err := b.startProxy(ctx, c, p)
	if err != nil {
		return nil, err
	}
	defer proxy.stop()
	m, err := b.putUnderLoad(ctx, c, p, proxy.route, proxy.pids)
	return proxy.verdict(m, err)
}

// proxy is a peer that runs.
type proxy struct {
	*process
	dir   string
	route route
	pids  []int
}

// startProxy starts a peer for a load, and waits until it is ready and has calmed down.
func (b *bench) startProxy(ctx context.Context, c loadCase, p peer) (*proxy, error) {
	dir, err := os.MkdirTemp(b.dir, p.name+"-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	made := &proxy{dir: dir}
	if err := b.start(ctx, c, p, made); err != nil {
		made.stop()
		return nil, err
	}
	return made, nil
}

func (b *bench) start(ctx context.Context, c loadCase, p peer, made *proxy) (err error) {
	if made.route, err = b.route(c, p); err != nil {
		return err
	}
	argv, err := p.command(made.route, surroundings{made.dir, len(b.layout.Proxy), b.limit, os.Geteuid() == 0})
	if err != nil {
		return err
	}
	if made.process, err = startProcess(p.name, made.dir, b.layout.Proxy, argv); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := waitReady(ready, made.process, made.route); err != nil {
		return err
	}
	if made.pids, err = processTree(made.pid()); err != nil {
		return err
	}
	return waitQuiet(ready, made.pids)
}

// verdict is what a measurement is worth: nothing, if the proxy has ended meanwhile.
func (p *proxy) verdict(m measurement, err error) (measurement, error) {
	select {
	case <-p.ended:
		return nil, p.earlyEnd()
	default:
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// stop ends the proxy, if it was started, and removes what it has left behind.
func (p *proxy) stop() {
	if p.process != nil {
		p.process.stop()
	}
	os.RemoveAll(p.dir)
}

// route gives the peer a free port to listen on and its own address of the server.
func (b *bench) route(c loadCase, p peer) (route, error) {
	port, err := b.ports.take()
	if err != nil {
		return route{}, err
	}
	r := route{Protocol: mysql, Listen: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)}
	if c.Load == "a" || c.Load == "c" {
		r.Protocol = plainTCP
	}
	if c.Load == "e" {
		r.Backend = b.database.address
		return r, nil
	}
	number := slices.IndexFunc(b.peers, func(other peer) bool { return other.name == p.name })
	r.Backend = b.server.address(c.Load, number)
	return r, nil
}

// assignmentOf is what the load generator does in a case.
func (b *bench) assignmentOf(c loadCase, r route, pids []int) assignment {
	s := b.settings
	a := assignment{Kind: exchanges, Proxy: r.Listen, Processes: pids, Loops: len(b.layout.Load),
		Connections: c.Connections, Answer: c.Answer,
		Warmup: s.Warmup, Duration: s.Duration, Settle: s.Settle, InTurns: c.takesTurns()}
	if c.Load == "b" {
		a.Kind, a.MaxOperations = logins, mostLogins
	}
	return a
}

// putUnderLoad carries a load out in a process of its own.
func (b *bench) putUnderLoad(ctx context.Context, c loadCase, p peer, r route, pids []int) (measurement, error) {
	if c.Load == "e" {
		return b.database.underSysbench(ctx, r.Listen, pids, c.Connections, b.settings.Duration, b.layout)
	}
	a := b.assignmentOf(c, r, pids)
	if c.Load == "d" {
		a.Kind, a.Sessions = idlers, b.idleSessions(p)
		a.Connections = min(c.Connections, a.Sessions)
		if err := b.useOnce(ctx, a); err != nil {
			return nil, err
		}
	}
	return b.assign(ctx, a)
}

// firstUse is how long a proxy serves short sessions before its memory is read: the pages of its program and what it
// sets up once are no session's.
const firstUse = 300 * time.Millisecond

// useOnce lets a few clients come and go.
func (b *bench) useOnce(ctx context.Context, a assignment) error {
	a.Kind, a.Connections, a.Loops = logins, 2, 1
	a.MaxOperations, a.Warmup, a.Duration = mostLogins, 0, firstUse
	_, err := b.assign(ctx, a)
	return err
}

// sessionsSpared is how many sessions fewer than the limit allows are held idle, for connections on their way out.
const sessionsSpared = 100

// idleSessions is how many sessions the peer shall hold in load d.
func (b *bench) idleSessions(p peer) int {
	most := max(1, min(mostSessions(b.limit, p.descriptors)-sessionsSpared, mostIdle))
	if wanted := b.settings.Sessions; wanted > 0 {
		return min(wanted, most)
	}
	return most
}
