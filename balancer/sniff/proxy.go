package sniff

import (
	"errors"

	"fairlead/internal/proxywire"
)

// Proxy tells whether the bytes begin with a header of the PROXY protocol that is all there, what is in it, and how long it
// is. One that breaks the rules is none.
func Proxy(first []byte) (header proxywire.Header, length int, v Verdict) {
	header, length, err := proxywire.Parse(first)
	switch {
	case err == nil:
		return header, length, Yes
	case errors.Is(err, proxywire.ErrShort):
		return header, 0, More
	}
	return header, 0, No
}
