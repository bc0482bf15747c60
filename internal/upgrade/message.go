package upgrade

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"fairlead/balancer"
)

// protocol is the version of what the two processes say. It changes only if they could not understand each other any more.
const protocol = 1

// Kind says what a message is about.
type Kind string

// The kinds of messages; see the package's comment.
const (
	Offer   Kind = "offer"
	Serving Kind = "serving"
	Failed  Kind = "failed"
	Yours   Kind = "yours"
	Counts  Kind = "counts"
	Orders  Kind = "orders"
	Adopted Kind = "adopted"
	Reopen  Kind = "reopen"
)

// Message is one message. Which fields are set depends on its kind.
type Message struct {
	Version int  `json:"version"`
	Kind    Kind `json:"kind"`
	// PID and Build are the sender's (offer, serving, adopted).
	PID   int    `json:"pid,omitempty"`
	Build string `json:"build,omitempty"`
	// Error says why the new process can't serve (failed).
	Error string `json:"error,omitempty"`
	// Sockets describes the descriptors (offer), or those of them that are used (serving).
	Sockets []Socket `json:"sockets,omitempty"`
	// State is what is known of the backends (offer).
	State *balancer.Handover `json:"state,omitempty"`
	// Orders are all that stand (yours, orders).
	Orders []balancer.Standing `json:"orders,omitempty"`
	// Counts are the sender's sessions on the backends (counts), and with an offer those of former processes too.
	Counts balancer.Counts `json:"counts,omitempty"`
	// Former are processes that still have sessions, in the order of the descriptors of their lines (yours).
	Former []Former `json:"former,omitempty"`
}

// Socket names a listening socket by what it is for.
type Socket struct {
	// Owner is "admin", "control" or "listener NAME".
	Owner string `json:"owner"`
	// Bind is the address or the path as it is configured.
	Bind string `json:"bind"`
}

// Former is a process that others have taken over from, and that still has sessions.
type Former struct {
	PID    int             `json:"pid"`
	Counts balancer.Counts `json:"counts,omitempty"`
}

const (
	// longestMessage bounds what is read: some 100,000 backends.
	longestMessage = 64 << 20
	// mostDescriptors bounds those of one message.
	mostDescriptors = 1 << 14
)

// ErrProtocol is wrapped by errors about messages that make no sense.
var ErrProtocol = errors.New("upgrade: not understood")

// encode is the message as it is sent, without its descriptors.
func (m Message) encode(descriptors int) ([]byte, error) {
	m.Version = protocol
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if len(body) > longestMessage || descriptors > mostDescriptors {
		return nil, fmt.Errorf("upgrade: a message of %d bytes and %d descriptors is too long", len(body), descriptors)
	}
	var head [8]byte
	binary.BigEndian.PutUint32(head[:4], uint32(len(body)))
	binary.BigEndian.PutUint32(head[4:], uint32(descriptors))
	return append(head[:], body...), nil
}

// decode reads a message, and how many descriptors come with it. Errors: ErrProtocol, io.ErrUnexpectedEOF, the reader's.
func decode(from io.Reader) (m Message, descriptors int, err error) {
	var head [8]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return m, 0, err
	}
	length, count := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if length > longestMessage || count > mostDescriptors {
		return m, 0, fmt.Errorf("%w: a message of %d bytes and %d descriptors", ErrProtocol, length, count)
	}
	// ReadAll grows as bytes come: a length that is a lie costs nothing.
	body, err := io.ReadAll(io.LimitReader(from, int64(length)))
	if err != nil {
		return m, 0, err
	}
	if len(body) < int(length) {
		return m, 0, io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, 0, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if m.Version != protocol {
		return m, 0, fmt.Errorf("%w: the other process speaks version %d, and this one version %d: restart instead", ErrProtocol, m.Version, protocol)
	}
	if want := m.descriptors(); want != int(count) {
		return m, 0, fmt.Errorf("%w: %d descriptors with a message %q about %d", ErrProtocol, count, m.Kind, want)
	}
	return m, int(count), nil
}

// descriptors is how many must come with a message.
func (m Message) descriptors() int {
	switch m.Kind {
	case Offer:
		return len(m.Sockets)
	case Yours:
		return len(m.Former)
	}
	return 0
}
