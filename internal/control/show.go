package control

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fairlead/balancer"
	"fairlead/internal/history"
	"fairlead/internal/terminal"
	"fairlead/probe"
)

// Widths that keep tables on a screen. What is cut off is whole in JSON.
const (
	widestName   = 40
	widestReason = 60
	widestWord   = 24 // users, databases, programs
)

// StateColour is the colour of a backend's state.
func StateColour(s balancer.State) terminal.Colour {
	switch s {
	case balancer.Up:
		return terminal.Green
	case balancer.Down:
		return terminal.Red
	case balancer.Draining, balancer.Disabled:
		return terminal.Yellow
	}
	return terminal.Cyan
}

// ShowStatus prints a status for people; now is the time that ages are told for.
func ShowStatus(to io.Writer, style terminal.Style, s Status, now time.Time) error {
	p := &printer{to: to, style: style}
	ready := style.Paint(terminal.Green, "ready")
	if !s.Ready {
		ready = style.Paint(terminal.Red, "not ready")
	}
	p.line("%s %s, %s, running for %s, %s%s", style.Paint(terminal.Bold, "fairlead"), terminal.Clean(s.Version), ready,
		terminal.Duration(now.Sub(s.Started)), terminal.Plural(s.Sessions, "session"), traffic(s.total()))
	if s.NotReady != "" {
		p.line("%s", terminal.Clean(s.NotReady))
	}
	for _, f := range s.Former {
		p.line("process %d from before the upgrade has %s left", f.PID, terminal.Plural(f.Sessions, "session"))
	}
	p.line("")
	listeners := terminal.NewTable(terminal.Column{Title: "listener"}, terminal.Column{Title: "addresses"},
		terminal.Column{Title: "pool"}, terminal.Column{Title: "sessions", Right: true})
	for _, l := range s.Listeners {
		addresses := terminal.Cell{Text: joined(l.Addresses)}
		if addresses.Text == "" {
			addresses = terminal.Cell{Text: "closed", Colour: terminal.Yellow}
		}
		listeners.Row(terminal.Cell{Text: l.Name}, addresses, terminal.Cell{Text: l.Pool}, number(l.Sessions))
	}
	p.table(listeners)
	for _, pool := range s.Pools {
		p.line("")
		p.pool(pool, s.discovery(pool.Name), now)
	}
	return p.err
}

// total is the traffic of all pools.
func (s Status) total() history.Rates {
	var all history.Rates
	for _, p := range s.Pools {
		all.NewSessions += p.Rates.NewSessions
		all.ToServer += p.Rates.ToServer
		all.ToClient += p.Rates.ToClient
	}
	return all
}

// discovery is how the members of a pool are found; nil for one that is not discovered.
func (s Status) discovery(pool string) *probe.DiscoveryHealth {
	for i := range s.Discoveries {
		if s.Discoveries[i].Pool == pool {
			return &s.Discoveries[i]
		}
	}
	return nil
}

// traffic tells rates, if there are any.
func traffic(r history.Rates) string {
	if r.NewSessions == 0 && r.ToServer+r.ToClient == 0 {
		return ""
	}
	return fmt.Sprintf(", %s new/s, %s/s", terminal.Rate(r.NewSessions), terminal.Bytes(uint64(r.ToServer+r.ToClient)))
}

// pool prints one pool's part.
func (p *printer) pool(s balancer.PoolStatus, found *probe.DiscoveryHealth, now time.Time) {
	queue := ""
	if s.Queued > 0 {
		queue = ", " + p.style.Paint(terminal.Yellow, strconv.Itoa(s.Queued)+" waiting for a place")
	}
	p.line("%s %s (%s, %s): %s%s%s", p.style.Paint(terminal.Bold, "pool"), terminal.Clean(s.Name), s.Protocol, s.Policy,
		terminal.Plural(s.Sessions, "session"), traffic(s.Rates), queue)
	if found != nil {
		p.discovery(found, now)
	}
	for _, n := range s.Names {
		if n.Error != "" {
			p.line("%s: no answer of the name service for %s, keeping what is known (%d): %s", terminal.Clean(n.Host),
				terminal.Duration(now.Sub(n.Failing)), n.Addresses, p.style.Paint(terminal.Red, terminal.Clean(n.Error)))
		}
	}
	for _, o := range s.Absent {
		p.line("%s is no member now; %s stands for its return", terminal.Clean(o.Backend), o.Order)
	}
	if len(s.Backends) == 0 {
		p.line("no backends: their names have no addresses yet")
		return
	}
	t := terminal.NewTable(
		terminal.Column{Title: "backend", Most: widestName}, terminal.Column{Title: "address", Most: widestName},
		terminal.Column{Title: "state"}, terminal.Column{Title: "for", Right: true},
		terminal.Column{Title: "sessions", Right: true}, terminal.Column{Title: "cap", Right: true},
		terminal.Column{Title: "weight", Right: true}, terminal.Column{Title: "new/s", Right: true},
		terminal.Column{Title: "bytes/s", Right: true}, terminal.Column{Title: "total", Right: true},
		terminal.Column{Title: "failed", Right: true}, terminal.Column{Title: "role"},
		terminal.Column{Title: "version", Most: widestWord}, terminal.Column{Title: "connect", Right: true},
		terminal.Column{Title: "greeting", Right: true}, terminal.Column{Title: "probed", Right: true},
		terminal.Column{Title: "reason", Most: widestReason})
	for _, b := range s.Backends {
		t.Row(backendCells(b, now)...)
	}
	p.table(t)
}

// discovery prints how the members of a pool are found.
func (p *printer) discovery(h *probe.DiscoveryHealth, now time.Time) {
	switch {
	case h.Answered.IsZero() && h.Error == "":
		p.line("discovery: nobody has answered yet")
	case h.Answered.IsZero():
		p.line("discovery: no answer for %s: %s", terminal.Duration(now.Sub(h.Failing)), p.style.Paint(terminal.Red, terminal.Clean(h.Error)))
	case h.Error != "":
		p.line("discovery: keeping the %s that %s listed %s ago: %s", terminal.Plural(h.Members, "front end"), terminal.Clean(h.Seed),
			terminal.Duration(now.Sub(h.Answered)), p.style.Paint(terminal.Red, terminal.Clean(h.Error)))
	default:
		p.line("discovery: %s listed by %s, %s ago", terminal.Plural(h.Members, "front end"), terminal.Clean(h.Seed),
			terminal.Duration(now.Sub(h.Answered)))
	}
}

func backendCells(b balancer.BackendStatus, now time.Time) []terminal.Cell {
	address := joined(b.Addresses)
	if address == b.Name {
		address = ""
	}
	capacity := ""
	if b.MaxSessions > 0 {
		capacity = strconv.Itoa(b.MaxSessions)
	}
	failed := terminal.Cell{}
	if b.Failures > 0 {
		failed = terminal.Cell{Text: strconv.FormatUint(b.Failures, 10), Colour: terminal.Yellow}
	}
	return []terminal.Cell{
		{Text: b.Name}, {Text: address}, {Text: b.State.String(), Colour: StateColour(b.State)}, since(b.Since, now, ""),
		sessions(b), {Text: capacity}, {Text: weight(b)}, {Text: rate(b.Rates.NewSessions)},
		{Text: amount(b.Rates.ToServer + b.Rates.ToClient)}, {Text: strconv.FormatUint(b.Total, 10)}, failed,
		{Text: role(b)}, {Text: b.Version}, took(b.Connect), took(b.Greeting), since(b.Probed, now, " ago"),
		{Text: backendReason(b, now)},
	}
}

// rate and amount are nothing where nothing happens.
func rate(perSecond float64) string {
	if perSecond == 0 {
		return ""
	}
	return terminal.Rate(perSecond)
}

func amount(bytes float64) string {
	if bytes < 1 {
		return ""
	}
	return terminal.Bytes(uint64(bytes))
}

// sessions is how many the backend has, and how many more those from before an upgrade.
func sessions(b balancer.BackendStatus) terminal.Cell {
	if b.Former > 0 {
		return terminal.Cell{Text: fmt.Sprintf("%d + %d", b.Sessions, b.Former)}
	}
	return number(b.Sessions)
}

// weight is the backend's share, and how much of it counts while it starts slowly.
func weight(b balancer.BackendStatus) string {
	if b.SlowStart > 0 {
		return fmt.Sprintf("%d (%.0f%%)", b.Weight, 100*b.SlowStart)
	}
	return strconv.Itoa(b.Weight)
}

// role is what the backend is to its cluster, how that was learnt, and whether it stands back.
func role(b balancer.BackendStatus) string {
	learnt := b.Role.Learnt(b.RoleFrom)
	if !b.Backup {
		return learnt
	}
	return strings.TrimSpace(learnt + " backup")
}

// backendReason says why the state is what it is, what a person wants where the state does not show it, and what becomes of
// the sessions that are left.
func backendReason(b balancer.BackendStatus, now time.Time) string {
	var ordered []string
	if b.State == balancer.Down && b.Order == balancer.Drain.String() {
		ordered = append(ordered, "to be drained")
	}
	if b.CloseIdle {
		ordered = append(ordered, "close-idle")
	}
	switch {
	case b.Deadline.IsZero():
	case now.Before(b.Deadline):
		ordered = append(ordered, "cut in "+terminal.Duration(b.Deadline.Sub(now)))
	default:
		ordered = append(ordered, fmt.Sprintf("deadline over, %d cut", b.Cut))
	}
	if len(ordered) == 0 {
		return b.Reason
	}
	return "(" + strings.Join(ordered, ", ") + ") " + b.Reason
}

// ShowSessions prints live sessions for people; total is how many there are, of which all may be a part.
func ShowSessions(to io.Writer, style terminal.Style, all []balancer.LiveSession, total int) error {
	p := &printer{to: to, style: style}
	if len(all) == 0 {
		p.line("no sessions")
		return p.err
	}
	t := terminal.NewTable(
		terminal.Column{Title: "id", Right: true}, terminal.Column{Title: "client"}, terminal.Column{Title: "listener"},
		terminal.Column{Title: "pool"}, terminal.Column{Title: "backend", Most: widestName},
		terminal.Column{Title: "connection", Right: true}, terminal.Column{Title: "user", Most: widestWord},
		terminal.Column{Title: "database", Most: widestWord}, terminal.Column{Title: "program", Most: widestWord},
		terminal.Column{Title: "to server", Right: true}, terminal.Column{Title: "to client", Right: true},
		terminal.Column{Title: "age", Right: true}, terminal.Column{Title: "idle", Right: true})
	for _, s := range all {
		connection, user := strconv.FormatUint(uint64(s.ConnectionID), 10), terminal.Cell{Text: s.User}
		if !s.LoggedIn {
			connection, user = "", terminal.Cell{Text: "(logging in)", Colour: terminal.Faint}
		}
		t.Row(terminal.Cell{Text: strconv.FormatUint(s.ID, 10)}, terminal.Cell{Text: s.Client.String()},
			terminal.Cell{Text: s.Listener}, terminal.Cell{Text: s.Pool}, terminal.Cell{Text: s.Backend},
			terminal.Cell{Text: connection}, user, terminal.Cell{Text: s.Database}, terminal.Cell{Text: s.Program},
			terminal.Cell{Text: terminal.Bytes(s.ToServer)}, terminal.Cell{Text: terminal.Bytes(s.ToClient)},
			terminal.Cell{Text: terminal.Duration(s.Age)}, terminal.Cell{Text: terminal.Duration(s.Idle)})
	}
	p.table(t)
	if total > len(all) {
		p.line("%d of %s", len(all), terminal.Plural(total, "session"))
	} else {
		p.line("%s", terminal.Plural(len(all), "session"))
	}
	return p.err
}

// printer keeps the first error, so that the lines above need not.
type printer struct {
	to    io.Writer
	style terminal.Style
	err   error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.to, format+"\n", args...)
	}
}

func (p *printer) table(t *terminal.Table) {
	if p.err == nil {
		p.err = t.Write(p.to, p.style)
	}
}

func joined(addresses []netip.AddrPort) string {
	var all []string
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

func number(n int) terminal.Cell { return terminal.Cell{Text: strconv.Itoa(n)} }

// since is the time from then to now; nothing for a time that never was.
func since(then, now time.Time, suffix string) terminal.Cell {
	if then.IsZero() {
		return terminal.Cell{}
	}
	return terminal.Cell{Text: terminal.Duration(now.Sub(then)) + suffix}
}

// took is how long something took; nothing when it did not come so far.
func took(d time.Duration) terminal.Cell {
	if d <= 0 {
		return terminal.Cell{}
	}
	return terminal.Cell{Text: terminal.Duration(d)}
}
