package sniff

import "testing"

func TestForeign(t *testing.T) {
	for first, want := range map[string]string{
		"GET / HTTP/1.1\r\n":                   "http",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":     "http",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc": "tls",
		"\x16\x03\x01\x02\x00":                 "", // too little to tell
		"SSH-2.0-OpenSSH_9.2\r\n":              "ssh",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r": "proxy",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11":       "proxy",
		"\x00\x00\x00\x08\x04\xd2\x16\x2f":     "postgres",
		"\x00\x00\x00\x25\x00\x03\x00\x00user": "postgres",
		"\x20\x00\x00\x01\x85\xa6":             "",
		"GET":                                  "",
		"":                                     "",
	} {
		if got := Foreign([]byte(first)); got != want {
			t.Errorf("Foreign(%q) is %q, want %q", first, got, want)
		}
	}
}

func FuzzForeign(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n"), []byte("Host: x"))
	f.Add([]byte("\x16\x03\x01\x02\x00\x01"), []byte{0})
	f.Fuzz(func(t *testing.T, first, more []byte) {
		// What has been recognised stays what it is, whatever comes after it.
		if was := Foreign(first); was != "" && Foreign(append(first[:len(first):len(first)], more...)) != was {
			t.Errorf("%q was %s, and is not with %q after it", first, was, more)
		}
	})
}
