package balancer

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"fairlead/balancer/sniff"
	"fairlead/balancer/splice"
)

// SniffConfig lets a listener serve several protocols, each from a pool of its own. Without routes nothing is sniffed, and
// nobody waits.
type SniffConfig struct {
	// Wait is how long a client may be silent: MySQL clients wait for the server to speak first, so that a longer silence
	// means MySQL. It is what each MySQL login takes longer.
	Wait time.Duration
	// Timeout bounds the time from the accept until the client has said enough to tell its protocol.
	Timeout time.Duration
	// Routes are tried in order; the first that fits decides.
	Routes []SniffRoute
}

// SniffRoute leads clients of a protocol to a pool.
type SniffRoute struct {
	// Protocol is SniffHTTP, SniffTLS or SniffMySQL.
	Protocol string
	// SNI and ALPN are for TLS: names of the server, or globs as in RouteConfig, and names of protocols of
	// which the client must offer one. Host is for HTTP/1: names or globs too. Empty means all.
	SNI, ALPN, Host []string
	// Pool names the pool.
	Pool string
}

// Protocols that are recognised.
const (
	SniffHTTP  = "http"  // HTTP/1, and HTTP/2 in the clear
	SniffTLS   = "tls"   // TLS from the first byte on, as HTTPS has it, and MySQL does not
	SniffMySQL = "mysql" // a login, or silence
)

// rejectSniffTimeout: the client began to say something and did not go on.
const rejectSniffTimeout = "sniff_timeout"

// sniffWork bounds how many bytes are looked at, those seen before counted again: what comes byte by byte is looked at
// from the beginning each time. A ClientHello of 2 KiB may come in single bytes.
const sniffWork = 4 << 20

// sniffer is a SniffConfig, ready for use.
type sniffer struct {
	wait, timeout time.Duration
	routes        []sniffRoute
	silent        target // where those are led that say nothing
}

type sniffRoute struct {
	protocol  string
	sni, host patterns
	alpn      []string
	to        target
}

// newSniffer makes a listener's sniffer of a valid configuration; nil when nothing is to be sniffed.
func newSniffer(c SniffConfig, byDefault target, targets map[string]target) *sniffer {
	if len(c.Routes) == 0 {
		return nil
	}
	made := &sniffer{wait: c.Wait, timeout: c.Timeout}
	for _, r := range c.Routes {
		made.routes = append(made.routes, sniffRoute{protocol: r.Protocol, sni: newPatterns(lower(r.SNI)), host: newPatterns(lower(r.Host)),
			alpn: r.ALPN, to: targets[r.Pool]})
		if r.Protocol == SniffMySQL && made.silent == (target{}) {
			made.silent = targets[r.Pool]
		}
	}
	if made.silent == (target{}) {
		made.silent = byDefault
	}
	return made
}

func lower(patterns []string) []string {
	made := slices.Clone(patterns)
	for i := range made {
		made[i] = strings.ToLower(made[i])
	}
	return made
}

// decide finds the route of a client that has said first. More means that it depends on what comes next, No that there is
// none.
func (f *sniffer) decide(first []byte) (*sniffRoute, sniff.Verdict) {
	for i := range f.routes {
		if v := f.routes[i].fits(first); v != sniff.No {
			return &f.routes[i], v
		}
	}
	return nil, sniff.No
}

func (r *sniffRoute) fits(first []byte) sniff.Verdict {
	switch {
	case r.protocol == SniffMySQL:
		return sniff.MySQL(first)
	case r.protocol == SniffHTTP && r.host == nil:
		return sniff.HTTP(first)
	case r.protocol == SniffHTTP:
		host, v := sniff.Host(first)
		return and(v, r.host.match(host))
	case r.sni == nil && len(r.alpn) == 0:
		return sniff.TLS(first)
	}
	hello, v := sniff.ClientHello(first)
	offered := len(r.alpn) == 0 || slices.ContainsFunc(r.alpn, func(name string) bool { return slices.Contains(hello.ALPN, name) })
	return and(v, offered && r.sni.match(hello.SNI))
}

func and(v sniff.Verdict, ok bool) sniff.Verdict {
	if v == sniff.Yes && !ok {
		return sniff.No
	}
	return v
}

// sniffed finds out what the client speaks, and leads it to that protocol's pool. Nothing is lost of what is read for that.
func (s *session) sniffed() bool {
	f, fixed := s.terms.sniffer, packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(fixed)
	buffer, client := fixed[:], s.task.Client()
	got := copy(buffer, s.arrival.read)
	// By the clock itself: what a loop does in one go, and Now is behind by, may be most of so short a wait.
	silence, deadline := time.Now().Add(f.wait), s.started.Add(f.timeout)
	if deadline.Before(silence) { // setting up may have taken long
		deadline = silence
	}
	for work, ended := 0, false; ; {
		if got > 0 {
			route, v := f.decide(buffer[:got])
			if v != sniff.More || ended {
				return s.spoken(route, v, buffer[:got])
			}
			if work += got; work > sniffWork {
				return s.arrivalFailed(splice.ErrTimeout, rejectSniffTimeout, "")
			}
		}
		if got == len(buffer) {
			buffer = append(buffer[:got:got], make([]byte, got)...)
		}
		until := deadline
		if got == 0 {
			until = silence
		}
		n, err := client.Read(buffer[got:], until)
		switch {
		case errors.Is(err, splice.ErrTimeout) && got == 0:
			s.leadTo(f.silent, SniffMySQL)
			s.arrival.silent = true
			return true
		case errors.Is(err, io.EOF) && got > 0:
			ended = true // what it said is all that it will say
		case err != nil:
			return s.arrivalFailed(err, rejectSniffTimeout, "")
		}
		got += n
	}
}

// spokeUp tells whether a client that was taken for one of MySQL for its silence has begun to speak before it was greeted,
// or has closed its side: a busy machine or a slow network made it late, and it has not seen a byte yet. err is how the
// search for a server went.
func (s *session) spokeUp(err error) bool {
	return s.arrival != nil && s.arrival.silent && (err == nil || errors.Is(err, splice.ErrClientGone)) && s.task.Client().Pending()
}

// heard gives back what the silent client got, which may be nothing, and listens to it again.
func (s *session) heard(server splice.Conn) bool {
	if server != nil {
		server.Close()
	}
	s.lease.Release()
	s.lease, s.connect, s.greeting, s.login = nil, 0, 0, identity{}
	s.pool, s.config = s.terms.own.pool, s.terms.own.settings
	s.arrival.undecided, s.arrival.silent = true, false
	return s.sniffed()
}

// spoken leads a client that has said first to the pool of its protocol. What no route is for goes where a listener without
// routes would lead it, if that pool takes any bytes.
func (s *session) spoken(route *sniffRoute, v sniff.Verdict, first []byte) bool {
	to, kind := s.terms.own, sniff.Foreign(first)
	if v == sniff.Yes {
		to, kind = route.to, route.protocol
	}
	s.leadTo(to, kind)
	if s.config.Protocol == MySQL {
		s.turnSpeakerAway(kind)
		return false
	}
	s.arrival.read = append([]byte(nil), first...)
	return true
}

// leadTo makes a pool the session's.
func (s *session) leadTo(to target, kind string) {
	s.pool, s.config = to.pool, to.settings
	s.arrival.undecided, s.arrival.kind = false, kind
	s.task.WatchClient(s.config.Protocol == MySQL)
}

// arrivalFailed concludes a session whose client did not say who it is or what it wants. It returns false.
func (s *session) arrivalFailed(err error, late, why string) bool {
	switch {
	case errors.Is(err, splice.ErrTimeout):
		if why != "" {
			s.farewell(s.notAllowed(why), 0)
		}
		s.turnAway(late)
	case errors.Is(err, io.EOF), errors.Is(err, splice.ErrClientGone):
		s.conclude("client_gone")
	case errors.Is(err, splice.ErrCut):
		s.refuse(err)
	default:
		s.conclude(loginEnd(err, splice.ClientClosed, splice.ClientReset, splice.ClientDead).String())
	}
	return false
}
