package daemon

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
)

// TestAdminCutsTheSlow: whoever opens a connection and does not ask, or asks by drops, loses it.
func TestAdminCutsTheSlow(t *testing.T) {
	d, err := New(parse(t, "127.0.0.1:1", ""), Options{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if s := d.admin.server; s.ReadHeaderTimeout != adminRead || s.ReadTimeout != adminRead || s.WriteTimeout != adminWrite ||
		s.IdleTimeout != adminIdle || s.MaxHeaderBytes != adminHeaders {
		t.Errorf("the bounds are not in force: %+v", s)
	}
	d.admin.server.ReadHeaderTimeout, d.admin.server.ReadTimeout, d.admin.server.IdleTimeout = time.Millisecond, time.Millisecond, time.Millisecond
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	for what, sent := range map[string]string{
		"silence":         "",
		"half a request":  "GET /status HT",
		"half the fields": "GET /status HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n",
		"and then idle":   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		c, err := net.DialTimeout("tcp", d.AdminAddresses()[0].String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, sent); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			t.Errorf("%s: the connection is kept", what)
		}
		if strings.Contains(string(answer), "sessions") {
			t.Errorf("%s: answered by %s", what, answer)
		}
		c.Close()
	}
}

// TestAdminIsBounded: connections that are held open keep nobody out for longer than they may take.
func TestAdminIsBounded(t *testing.T) {
	d, _, changes := start(t, "", Options{})
	await(t, changes, balancer.Up)
	var held []net.Conn
	for range adminConnections + 10 {
		c, err := net.DialTimeout("tcp", d.AdminAddresses()[0].String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	if code, body := get(t, d, "/readyz"); code != 200 { // waits until the silent ones are cut, adminRead after they came
		t.Errorf("%d %s", code, body)
	}
}
