package sniff

// Verdict is what the first bytes of a connection say about one protocol. Once it is No or Yes, more bytes change
// nothing about it.
type Verdict uint8

const (
	// More means that it takes more bytes to tell.
	More Verdict = iota
	// No means that they are not of the protocol.
	No
	// Yes means that they are.
	Yes
)

// Most bounds the bytes that are looked at. A ClientHello has 0.5 to 2 KiB, the head of a request as much and more with
// cookies; a login 64 KiB at most, whose first 4 KiB say enough.
const Most = 16 << 10

// String is the verdict in a word.
func (v Verdict) String() string { return [...]string{"more", "no", "yes"}[v] }

// begins tells whether b begins with all of prefix.
func begins(b, prefix []byte) Verdict {
	n := min(len(b), len(prefix))
	switch {
	case string(b[:n]) != string(prefix[:n]):
		return No
	case n < len(prefix):
		return More
	}
	return Yes
}

// bounded turns "more" into "no" where no more will be looked at.
func bounded(v Verdict, b []byte) Verdict {
	if v == More && len(b) >= Most {
		return No
	}
	return v
}
