package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/internal/mysqlwire"
)

// stranger is a client that is none.
type stranger struct {
	name string
	// speak does whatever it does on a connection. When it returns, the connection is read to its end.
	speak func(net.Conn) error
	// reasons are what it may be turned away for, one of them; none for one that goes by itself.
	reasons []string
	// answered is what it must be told, if anything.
	answered string
}

var strangers = []stranger{
	{name: "HTTP", speak: say("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), reasons: []string{"http"}},
	{name: "TLS", speak: func(c net.Conn) error {
		err := tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
		if err == nil {
			return errors.New("a handshake that nobody can have answered")
		}
		return nil
	}, reasons: []string{"tls"}},
	{name: "SSH", speak: say("SSH-2.0-OpenSSH_9.2\r\n"), reasons: []string{"ssh"}},
	{name: "rubbish", speak: func(c net.Conn) error {
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(128 + rand.IntN(128)) // no protocol begins so
		}
		_, err := c.Write(b)
		return err
	}, reasons: []string{"not_mysql"}},
	{name: "silence", speak: say(""), reasons: []string{"login_timeout"}},
	{name: "half a header", speak: afterGreeting("\x20\x00"), reasons: []string{"login_timeout"}},
	{name: "half a login", speak: afterGreeting("\x40\x00\x00\x01\x85\xa6\xff\x01"), reasons: []string{"login_timeout"}},
	{name: "a login of 16 MB", speak: afterGreeting("\xff\xff\xff\x01"), reasons: []string{"login_too_long"}, answered: "bad handshake"},
	{name: "16 MB at once", speak: func(c net.Conn) error {
		if err := say("\xff\xff\xff\x01")(c); err != nil {
			return err
		}
		_, _ = c.Write(make([]byte, 1<<20)) // as much of it as it can
		return nil
	}, reasons: []string{"login_too_long", "not_mysql"}},
	{name: "a wrong sequence", speak: afterGreeting("\x04\x00\x00\x07\x85\xa6\xff\x01"), reasons: []string{"not_mysql"}, answered: "bad handshake"},
	{name: "an empty login", speak: afterGreeting("\x00\x00\x00\x01"), reasons: []string{"not_mysql"}, answered: "bad handshake"},
	{name: "TLS that ends there", speak: afterGreeting("\x20\x00\x00\x01\x85\xae\xff\x01\x00\x00\x00\x01\x21" + strings.Repeat("\x00", 23))},
	{name: "gone at once", speak: func(c net.Conn) error { return c.Close() }},
	{name: "gone by reset", speak: func(c net.Conn) error {
		c.(*net.TCPConn).SetLinger(0)
		return c.Close()
	}},
}

// say is a speech of these bytes.
func say(text string) func(net.Conn) error {
	return func(c net.Conn) error {
		_, err := c.Write([]byte(text))
		return err
	}
}

// afterGreeting is a speech that begins when the server has greeted.
func afterGreeting(text string) func(net.Conn) error {
	return func(c net.Conn) error {
		if _, payload, err := mysqlwire.ReadPacket(c, nil, 1<<16); err != nil {
			return err
		} else if _, err := mysqlwire.ParseGreeting(payload); err != nil {
			return err
		}
		return say(text)(c)
	}
}

// visit connects, speaks, and reads to the end.
func (s stranger) visit(address string) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience)) // the end must come by itself
	if err := s.speak(c); err != nil && !gone(err) {
		return err
	}
	rest, err := io.ReadAll(io.LimitReader(c, 1<<16))
	if err != nil && !gone(err) {
		return err
	}
	if !bytes.Contains(rest, []byte(s.answered)) {
		return fmt.Errorf("was told %q", rest)
	}
	return nil
}

// gone tells whether an error is that of a connection that the other side, or this one, has ended.
func gone(err error) bool {
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

// TestHostile: whoever does not speak MySQL to a MySQL listener is turned away within the time-outs, and counted with a
// reason, while those who do notice nothing; and nothing is left of it.
func TestHostile(t *testing.T) {
	const each, atOnce = 25, 50
	_, addresses := startFEs(t, 2)
	p := start(t, strings.Replace(inFrontOf("", "", addresses...), "bind =", "login_timeout = \"2s\"\nbind =", 1))
	address := p.address("mysql")
	crowdOfStrangers := func(n int) {
		var visitors sync.WaitGroup
		room := make(chan struct{}, atOnce)
		for i := range n * len(strangers) {
			s := strangers[i%len(strangers)]
			room <- struct{}{}
			visitors.Go(func() {
				defer func() { <-room }()
				if err := s.visit(address); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
			})
		}
		visitors.Wait()
	}
	guests := loadOn(p, whichFE)
	guests.Idle = 0
	crowdOfStrangers(1)
	p.poll("all of them to be gone", p.gaugesAreZero)
	before, counted := p.footprint(), p.rejects()

	p.allUp()
	f := come(t, guests)
	f.running("1", "2")
	crowdOfStrangers(each)
	f.stop()
	if failed := f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s", listed(failed))
	}
	if lost := f.lost(); len(lost) > 0 {
		t.Errorf("sessions were lost: %s", listed(lost))
	}
	p.settles(before, spareCoroutines())

	want, sum, expected := map[string]int{}, 0, 0
	for _, s := range strangers {
		if len(s.reasons) > 0 {
			expected += each
		}
		if len(s.reasons) == 1 {
			want[s.reasons[0]] += each
		}
	}
	for reason, n := range p.rejects() {
		n -= counted[reason]
		sum += n
		if n < want[reason] {
			t.Errorf("%d strangers were counted as %s, want at least %d", n, reason, want[reason])
		}
		delete(want, reason)
	}
	if sum != expected || len(want) > 0 {
		t.Errorf("%d strangers were counted, want %d; not at all: %v", sum, expected, want)
	}
}

// rejects are the clients turned away so far, by reason.
func (p *process) rejects() map[string]int {
	p.t.Helper()
	all := make(map[string]int)
	for series, value := range p.metrics() {
		if rest, ok := strings.CutPrefix(series, "fairlead_listener_rejects_total{"); ok {
			_, reason, _ := strings.Cut(rest, "reason=\"")
			reason, _, _ = strings.Cut(reason, "\"")
			n, err := strconv.Atoi(value)
			if err != nil {
				p.t.Fatal(err)
			}
			all[reason] = n
		}
	}
	return all
}
