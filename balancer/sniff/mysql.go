package sniff

import "fairlead/internal/mysqlwire"

// MySQL tells whether the bytes are a client's login, or an SSLRequest: what a MySQL client says once it has been greeted,
// and hardly any client without. It takes the whole packet to tell; one longer than Most is none.
func MySQL(first []byte) Verdict {
	h, ok := mysqlwire.ParseHeader(first)
	switch {
	case !ok:
		return More
	case h.Sequence != 1, h.Length > Most-mysqlwire.HeaderLen:
		return No
	case len(first) < mysqlwire.HeaderLen+h.Length:
		return More
	}
	if _, err := mysqlwire.ParseLogin(first[mysqlwire.HeaderLen : mysqlwire.HeaderLen+h.Length]); err != nil {
		return No
	}
	return Yes
}
