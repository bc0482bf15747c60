package balancer

import "fairlead/internal/mysqlwire"

// renumbering carries the packets of a login between a client and a server that count them differently: each side is
// sent the number after its own last one, or after the last one that it was sent (page_protocol_basic_packets). The zero
// value is for two sides that have sent nothing.
type renumbering struct {
	fromServer, fromClient packetStream
	client, server         byte // the next number of each side's conversation
	verdict                byte // the first byte of the OK or ERR packet, once judged
	judged                 bool
	whole                  bool // the verdict came to its end with the bytes in which it began, and nothing after it
}

// toClient renumbers, in place, what the server has said. From the verdict on nothing is changed: after it
// both sides count from 0 again.
func (r *renumbering) toClient(b []byte) {
	for i := 0; i < len(b) && !r.judged; {
		n, header, payload := r.fromServer.next(b[i:])
		if header {
			r.server = b[i] + 1
			b[i] = r.client
			r.client++
		}
		if payload && (b[i] == okPacket || b[i] == errPacket) {
			r.judged, r.verdict = true, b[i]
			r.whole = len(b)-i == r.fromServer.left+n
		}
		i += n
	}
}

// toServer renumbers, in place, what the client has said.
func (r *renumbering) toServer(b []byte) {
	for i := 0; i < len(b); {
		n, header, _ := r.fromClient.next(b[i:])
		if header {
			r.client = b[i] + 1
			b[i] = r.server
			r.server++
		}
		i += n
	}
}

// packetStream finds the headers in a stream of packets that comes in any pieces.
type packetStream struct {
	have  int // bytes of the header that have come
	size  int // of the payload, as far as the header has told
	left  int // bytes of the payload still to come
	first bool
	chain bool // the last packet was as long as packets get: the next one goes on with it
}

// next steps over the beginning of b, which must not be empty, and tells how many bytes it was: the header's parts
// are stepped over one by one. header says that b begins with the sequence number of a packet; payload that it begins
// with a payload that continues no other packet's.
func (p *packetStream) next(b []byte) (n int, header, payload bool) {
	switch {
	case p.have < mysqlwire.HeaderLen-1:
		p.size |= int(b[0]) << (8 * p.have)
		p.have++
		return 1, false, false
	case p.have < mysqlwire.HeaderLen:
		p.have++
		p.first = !p.chain
		p.chain = p.size == mysqlwire.MaxPayload
		p.left = p.size
		n = 1
		header = true
	default:
		n = min(p.left, len(b))
		payload = p.first
		p.first = false
		p.left -= n
	}
	if p.left == 0 {
		p.have, p.size = 0, 0
	}
	return n, header, payload
}
