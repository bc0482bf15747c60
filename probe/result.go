package probe

import (
	"net/netip"
	"time"
)

// Verdict is what is thought of a backend, by one probe or after rise and fall.
type Verdict int

const (
	// Undecided says that nothing is known, or nothing new: the probe could not be made.
	Undecided Verdict = iota
	// Fit takes sessions.
	Fit
	// Unfit does not.
	Unfit
	// Leaving still serves the sessions that it has, and asks to be sent no more.
	Leaving
)

// String is undecided, fit, unfit or leaving.
func (v Verdict) String() string {
	switch v {
	case Fit:
		return "fit"
	case Unfit:
		return "unfit"
	case Leaving:
		return "leaving"
	}
	return "undecided"
}

// MarshalText makes String's text of a verdict in JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// Step is a part of a probe.
type Step string

// The steps, in their order.
const (
	StepResolve  Step = "resolve"
	StepConnect  Step = "connect"
	StepGreeting Step = "greeting"
	StepLogin    Step = "login"
	StepQuery    Step = "query"
	StepHTTP     Step = "http"
)

// RoleLeader is the Role of the front end that leads the others.
const RoleLeader = "leader"

// Failures, for [Result.Failure]: all of them, so that they can be the values of a label.
const (
	failResolve            = "resolve"
	failConnectRefused     = "connect_refused"
	failConnectTimeout     = "connect_timeout"
	failConnectUnreachable = "connect_unreachable"
	failConnectError       = "connect_error"
	failGreetingTimeout    = "greeting_timeout"
	failGreetingClosed     = "greeting_closed" // ended or reset before it was whole
	failGreetingError      = "greeting_error"  // an ERR packet in its place
	failGreetingMalformed  = "greeting_malformed"
	failLoginTimeout       = "login_timeout"
	failLoginFailed        = "login_failed" // refused by the server
	failLoginTLS           = "login_tls"
	failLoginError         = "login_error"
	failQueryTimeout       = "query_timeout"
	failQueryFailed        = "query_failed" // refused by the server
	failQueryUnexpected    = "query_unexpected"
	failQueryError         = "query_error"
	failHTTPRefused        = "http_refused"
	failHTTPTimeout        = "http_timeout"
	failHTTPError          = "http_error"
	failHTTP5xx            = "http_5xx"
	failHTTPNotReady       = "http_not_ready"
	failHTTPBehind         = "http_behind" // /api/bootstrap does not say OK
	failConfig             = "config"      // asked in a way that the server or the file system denies
	failLocal              = "local"       // descriptors, ports or memory ran out here
	failCanceled           = "canceled"
)

// Result is what one probe found.
type Result struct {
	// Verdict is this probe's alone, before rise and fall. Undecided means no evidence either way.
	Verdict Verdict
	// Step is where it ended: the last step when all went well.
	Step Step
	// Reason says in words what went wrong, beginning with the step; empty when nothing did. What it quotes of
	// a server's text is bounded and printable.
	Reason string
	// Failure is the kind of what went wrong, from a closed set such as connect_refused; empty when nothing did.
	Failure string
	// ConfigError tells of a fault in the probe's configuration that showed itself, such as credentials that
	// were denied; usually empty. It may come with any verdict.
	ConfigError string

	// Address is the one that answered, or the first one tried when none did.
	Address netip.AddrPort
	// Version and ConnectionID are from the greeting: the server's words, in printable form.
	Version      string
	ConnectionID uint32
	// Role is RoleLeader for the leader, and RoleKnown whether it could be told, both by
	// [Config.LeaderFromMetrics] alone. Known and empty is a follower or an observer.
	Role      string
	RoleKnown bool

	// Connect is the time of the TCP connect, Greeting that from there to the whole greeting, Total that of the whole
	// probe until its verdict. 0 means that it did not come so far.
	Connect, Greeting, Total time.Duration
	// At is when the probe began: what it says can't be newer.
	At time.Time
}

// Report is what a [Fleet] tells of a backend after each probe.
type Report struct {
	// Verdict is the one after rise and fall; Undecided until there is one, and again after a suspicion.
	Verdict Verdict
	// Result is the latest probe.
	Result Result
}
