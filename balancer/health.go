package balancer

import (
	"context"
	"log/slog"
	"time"

	"fairlead/balancer/splice"
)

// Report takes what the probes have found. It may be called by several goroutines.
func (p *Pool) Report(b *Backend, found Probe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.mu.seat < 0 {
		return
	}
	b.mu.probe = found
	if found.Reason == "" && found.At.After(b.mu.succeeded) {
		b.mu.succeeded = found.At
	}
	if found.Reason != "" {
		b.mu.trouble = found.Reason
	}
	if found.RoleKnown {
		p.setRole(b, Role(found.Role), RoleFromProbe)
	}
	if found.Verdict == Fit {
		b.mu.unproven = false
	}
	fresh := found.At.After(b.mu.suspectAt)
	p.change(b, b.mu.condition.judged(found.Verdict, fresh), found.Reason)
}

// suspect takes a backend out of choice, for a session has met a failure there, and has it probed.
func (p *Pool) suspect(b *Backend, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.failures++
	if b.mu.seat < 0 {
		return
	}
	b.mu.suspectAt, b.mu.trouble = time.Now(), "live traffic: "+reason
	p.change(b, b.mu.condition.suspected(), b.mu.trouble)
	p.watcher.Suspect(b)
}

// succeeded notes a greeting that a session has got; for a tcp pool, a connection.
func (p *Pool) succeeded(b *Backend, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.succeeded = at
}

// change puts a backend into a condition, and does what a change of state calls for.
func (p *Pool) change(b *Backend, c condition, reason string) {
	was := b.mu.condition
	b.mu.condition = c
	b.bad.Store(c.bad())
	if was.bad() != c.bad() {
		p.tend(b, c.bad())
	}
	from, to := was.state(), c.state()
	if from == to {
		if to == Down && reason != "" {
			b.mu.reason = reason
		}
		return
	}
	now := time.Now()
	held := now.Sub(b.mu.since)
	b.mu.since, b.mu.reason = now, reason
	p.reseat(b)
	if to == Up && (from == Down || from == Disabled || was.verdict == Leaving) {
		p.alter(b.mu.seat).ramp = now
	}
	b.metrics.Transition(from.String(), to.String())
	level := slog.LevelInfo
	if to == Down {
		level = slog.LevelWarn
	}
	p.log.Log(context.Background(), level, "backend "+to.String(), "backend", b.Name, "was", from.String(), "for", held.Round(time.Millisecond),
		"reason", reason, "sessions", b.mu.sessions)
	if p.changed != nil {
		p.changed(Change{Pool: p.name, Backend: b.Name, From: from, To: to, Held: held, Reason: reason, Sessions: b.mu.sessions})
	}
	p.serveQueue()
}

// reseat brings a backend's seat up to date with its state and its addresses.
func (p *Pool) reseat(b *Backend) {
	if i := b.mu.seat; i >= 0 {
		p.alter(i).open = b.mu.condition.state().takes() && !b.mu.unproven && len(b.Addresses()) > 0
	}
}

// tend looks after the sessions of a backend that goes down or comes back, whatever a person has said of it. Those that
// are not joined yet are left alone: they can still go elsewhere, or find out by themselves.
func (p *Pool) tend(b *Backend, bad bool) {
	config := p.config.Load()
	for _, t := range b.mu.leases.joined() {
		config.tend(t, bad)
	}
}

func (c *settings) tend(t splice.Task, bad bool) {
	switch {
	case bad && c.SessionsOnDown == CloseSessions:
		t.Cut(splice.BackendDown)
	case bad && c.SessionsOnDown == Verify:
		t.Keepalive(verifying)
	case c.SessionsOnDown == Verify:
		t.Keepalive(c.keepalive)
	}
}

// verifying is the keepalive of sessions on a backend that went down: the kernel ends those whose peer is gone within 4
// seconds, and leaves alone those whose peer is only busy.
var verifying = splice.Keepalive{Idle: time.Second, Interval: time.Second, Count: 3, UserTimeout: 4 * time.Second}

// keepalive is the usual one: after idle of silence, a probe each quarter of that, three times.
func keepalive(idle time.Duration) splice.Keepalive {
	if idle <= 0 {
		return splice.Keepalive{}
	}
	return splice.Keepalive{Idle: idle, Interval: max(idle/4, time.Second), Count: 3}
}
