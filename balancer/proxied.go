package balancer

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"fairlead/balancer/sniff"
	"fairlead/balancer/splice"
	"fairlead/internal/mysqlwire"
	"fairlead/internal/proxywire"
)

// ProxyConfig says whose announcements a listener believes: proxies send a header of the PROXY protocol, version 1 or 2,
// before the client's bytes. The zero value believes nobody's.
type ProxyConfig struct {
	// Accept lists the networks of the proxies. A header is mandatory from them, and from then on the client is who it
	// announces: in the log and the lists, for limits and source hash. UNKNOWN and LOCAL announce nobody.
	Accept []netip.Prefix
	// Timeout bounds the wait for the header.
	Timeout time.Duration
	// FromOthers says what becomes of connections that come from elsewhere.
	FromOthers FromOthers
}

// FromOthers says what becomes of connections that no accepted proxy makes.
type FromOthers string

const (
	// TakePlain serves them as what they are; a header is then none, but bytes like any others.
	TakePlain FromOthers = "plain"
	// RefuseOthers turns them away.
	RefuseOthers FromOthers = "refuse"
)

// Why a listener that accepts PROXY headers turns a connection away.
const (
	rejectProxyMissing   = "proxy_missing"   // something else came
	rejectProxyMalformed = "proxy_malformed" // the header breaks the rules
	rejectProxyTimeout   = "proxy_timeout"   // nothing, or only a part of it, came in time
	rejectNotProxied     = "not_proxied"     // RefuseOthers
)

// arrival is what a session holds of its client's first bytes until it is joined. Sessions of plain listeners have none.
type arrival struct {
	read        []byte         // of the client, and not passed on yet
	destination netip.AddrPort // that a PROXY header announced
	undecided   bool           // which protocol the client speaks
	silent      bool           // it has said nothing, and is taken to wait for a greeting
	kind        string         // http, tls, mysql or "": what it speaks
}

// arrive is the beginning of a session: it finds out who the client is, asks the gate, and finds out what it wants. False
// means that the session is over, which it has then concluded.
func (s *session) arrive(present int64) bool {
	config := s.terms
	if config.MaxSessions > 0 && !s.underCap(present) {
		return false
	}
	if s.terms.sniffer != nil {
		s.arrival = &arrival{undecided: true}
	}
	if len(config.Proxy.Accept) > 0 && !s.announced() {
		return false
	}
	if config.gated && !s.admitted() {
		return false
	}
	return s.terms.sniffer == nil || s.sniffed()
}

// announced reads the PROXY header where there must be one.
func (s *session) announced() bool {
	config := &s.terms.Proxy
	if !within(s.client.Addr(), config.Accept) {
		if config.FromOthers == RefuseOthers {
			s.farewell(s.notAllowed("listener "+strconv.Quote(s.listener.name)+" is for proxies only"), 0)
			s.turnAway(rejectNotProxied)
			return false
		}
		return true
	}
	buffer := packetBuffers.Get().(*[packetBuffer]byte)
	defer packetBuffers.Put(buffer)
	deadline := s.started.Add(config.Timeout)
	for got := 0; ; {
		n, err := s.task.Client().Read(buffer[got:], deadline)
		if err != nil {
			return s.arrivalFailed(err, rejectProxyTimeout, "the PROXY header did not come in time")
		}
		got += n
		switch header, length, v := sniff.Proxy(buffer[:got]); {
		case v == sniff.Yes:
			s.believe(header, buffer[length:got])
			return true
		case v == sniff.No && sniff.Foreign(buffer[:got]) == "proxy":
			return s.unannounced(rejectProxyMalformed, "the PROXY header is malformed")
		case v == sniff.No:
			return s.unannounced(rejectProxyMissing, "a PROXY header is missing")
		}
	}
}

// believe takes the announced client for the session's.
func (s *session) believe(header proxywire.Header, rest []byte) {
	if s.arrival == nil {
		s.arrival = &arrival{}
	}
	if header.Source.IsValid() {
		s.client, s.arrival.destination = header.Source, header.Destination
	}
	if len(rest) > 0 {
		s.arrival.read = append([]byte(nil), rest...)
	}
}

func (s *session) unannounced(reason, why string) bool {
	s.farewell(s.notAllowed(why), 0)
	s.turnAway(reason)
	return false
}

func (s *session) notAllowed(why string) *mysqlwire.ServerError {
	return &mysqlwire.ServerError{Code: 1130, State: "HY000", Message: fmt.Sprintf("fairlead: host %v is not allowed to connect: %s", s.client.Addr(), why)}
}

// opening is what a server gets before anything else: the PROXY header if the pool wants one, and what the client has
// said already.
func (s *session) opening() ([]byte, error) {
	var read []byte
	if s.arrival != nil {
		read = s.arrival.read
	}
	if s.config.SendProxy == "" {
		return read, nil
	}
	var destination netip.AddrPort
	if s.arrival != nil {
		destination = s.arrival.destination
	}
	if !destination.IsValid() {
		destination = s.task.Client().Local()
	}
	header, err := proxywire.Append(nil, s.config.SendProxy, s.client, destination)
	return append(header, read...), err
}

// open sends the opening.
func (s *session) open(server splice.Conn, during step) error {
	opening, err := s.opening()
	if err != nil {
		return &setupError{reason: "own_proxy_header", text: err.Error(), own: true, hopeless: true}
	}
	if len(opening) == 0 {
		return nil
	}
	if err := server.Write(opening, during.until); err != nil {
		return connectError(err, during)
	}
	return nil
}

// early is how much of the client's bytes the opening had.
func (s *session) early() int {
	if s.arrival == nil {
		return 0
	}
	return len(s.arrival.read)
}
