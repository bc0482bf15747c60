package upgrade

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"fairlead/balancer"
)

// framed is a text as the body of a message with so many descriptors.
func framed(body string, descriptors uint32) []byte {
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	b = binary.BigEndian.AppendUint32(b, descriptors)
	return append(b, body...)
}

func TestDecode(t *testing.T) {
	sent := Message{Version: protocol, Kind: Offer, PID: 7, Build: "1.2", Sockets: []Socket{{"admin", "[::1]:9090"}},
		State:  &balancer.Handover{Pools: []balancer.PoolHandover{{Name: "fe", Backends: []balancer.BackendHandover{{Name: "one", Verdict: "fit"}}}}},
		Counts: balancer.Counts{"fe": {"one": 3}}}
	text, err := sent.encode(1)
	if err != nil {
		t.Fatal(err)
	}
	got, n, err := decode(iotest.OneByteReader(bytes.NewReader(text)))
	if err != nil || n != 1 || !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, %d descriptors, %v", got, n, err)
	}
	for cut := range text {
		if _, _, err := decode(bytes.NewReader(text[:cut])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut off after %d bytes: %v", cut, err)
		}
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"no JSON":              {framed("{", 0), "not understood"},
		"another version":      {framed(`{"version":2,"kind":"counts"}`, 0), "speaks version 2, and this one version 1: restart instead"},
		"no version":           {framed(`{"kind":"counts"}`, 0), "version 0"},
		"descriptors too many": {framed(`{"version":1,"kind":"counts"}`, 1), `1 descriptors with a message "counts" about 0`},
		"descriptors too few":  {framed(`{"version":1,"kind":"offer","sockets":[{"owner":"admin","bind":"x"}]}`, 0), "0 descriptors"},
		"too long":             {framed("", 1<<20), "1048576 descriptors"},
		"a huge length":        {[]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, "4294967295 bytes"},
		"an unknown order":     {framed(`{"version":1,"kind":"orders","orders":[{"order":"explode"}]}`, 0), "explode"},
	} {
		if _, _, err := decode(bytes.NewReader(c.text)); !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a later build adds is ignored.
	got, _, err = decode(bytes.NewReader(framed(`{"version":1,"kind":"serving","moon":"full","sockets":[{"owner":"control","bind":"/s","colour":3}]}`, 0)))
	if err != nil || got.Kind != Serving || !Uses(got.Sockets, "control", "/s") {
		t.Errorf("with unknown fields: %+v, %v", got, err)
	}
}

// FuzzMessage: whatever a process says is understood or refused, and what is understood can be said again.
func FuzzMessage(f *testing.F) {
	f.Add(framed(`{"version":1,"kind":"counts","counts":{"fe":{"one":3}}}`, 0))
	f.Add(framed(`{"version":1,"kind":"yours","orders":[{"pool":"fe","backend":"one","order":"drain","at":"2026-01-02T03:04:05Z"}],"former":[{"pid":3}]}`, 1))
	f.Add(framed(`{"version":1,"kind":"offer","sockets":[{"owner":"admin","bind":"127.0.0.1:1"}],"state":{"pools":[{"name":"fe","backends":[{"name":"one"}]}]}}`, 1))
	f.Add([]byte{0, 0, 0, 9, 0, 0, 0, 0, '{'})
	f.Fuzz(func(t *testing.T, text []byte) {
		m, n, err := decode(bytes.NewReader(text))
		if err != nil {
			return
		}
		again, err := m.encode(n)
		if err != nil {
			t.Fatal(err)
		}
		second, k, err := decode(bytes.NewReader(again))
		if err != nil || k != n {
			t.Fatalf("said again: %d descriptors, not %d, %v\n%s", k, n, err, again)
		}
		if third, err := second.encode(n); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("said twice, another message: %v\n%s\n%s", err, again, third)
		}
	})
}
