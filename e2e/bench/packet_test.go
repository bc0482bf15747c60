//go:build linux

package main

import (
	"testing"

	"fairlead/internal/mysqlwire"
)

func TestPacketsHaveTheirSizes(t *testing.T) {
	for name, c := range map[string]struct {
		packet []byte
		want   int
	}{
		"greeting": {greetingPacket, 78},
		"login":    {loginPacket, 100},
		"ok":       {okPacket, 11},
		"request":  {appendRequest(nil, 5), 100},
	} {
		if len(c.packet) != c.want {
			t.Errorf("%s has %d bytes, want %d", name, len(c.packet), c.want)
		}
	}
	if len(loginPacket) != requestSize {
		t.Errorf("the server takes logins of %d bytes, not %d", requestSize, len(loginPacket))
	}
}

func TestPacketsAreValid(t *testing.T) {
	if _, err := mysqlwire.ParseGreeting(greetingPacket[mysqlwire.HeaderLen:]); err != nil {
		t.Error(err)
	}
	if l, err := mysqlwire.ParseLogin(loginPacket[mysqlwire.HeaderLen:]); err != nil || l.User != "bench" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := mysqlwire.ParseOK(okPacket[mysqlwire.HeaderLen:], mysqlwire.StarRocksCapabilities); err != nil {
		t.Error(err)
	}
	for sequence, p := range [][]byte{greetingPacket, loginPacket, okPacket} {
		h, ok := mysqlwire.ParseHeader(p)
		if !ok || h.Length != len(p)-mysqlwire.HeaderLen || int(h.Sequence) != sequence {
			t.Errorf("packet %d: %+v of %d bytes", sequence, h, len(p))
		}
	}
}

func TestRequestTellsTheAnswersSize(t *testing.T) {
	if got := answerSize(appendRequest(nil, 64<<20)); got != 64<<20 {
		t.Errorf("%d", got)
	}
}
