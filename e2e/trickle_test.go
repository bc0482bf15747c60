package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"fairlead/internal/fakefe"
)

// trickled are beginnings that a listener has to wait for more of, each for one listener.
var trickled = []struct{ listener, text string }{
	{"mysql", "\xff\xff\x00\x01\x85\xa6\xff\x19\x00\x00\x00\x01\x2d" + string(make([]byte, 400))}, // a login of 64 KiB
	{"sniffing", "\x16\x03\x01\x3f\x00\x01\x00\x3e\xfc\x03\x03" + string(make([]byte, 400))},      // a ClientHello of 16 KiB
	{"proxied", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xf0" + string(make([]byte, 400))},             // a header of 4 KiB
	{"sniffing", "GET /" + string(make([]byte, 400))},                                             // a line without an end
}

// TestTricklingClients: hundreds of clients that send a byte now and then are cut by deadlines, and logins go on beside
// them. FAIRLEAD_E2E_TRICKLE says how many there are in place of 400.
func TestTricklingClients(t *testing.T) {
	n := 400
	if text := os.Getenv("FAIRLEAD_E2E_TRICKLE"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	fe := startFE(t, fakefe.Config{})
	const common = "bind = \"127.0.0.1:0\"\npool = \"fe\"\nlogin_timeout = \"3s\"\n"
	p := start(t, "[[listener]]\nname = \"mysql\"\n"+common+
		"[[listener]]\nname = \"proxied\"\n"+common+"accept_proxy = \"127.0.0.1\"\nproxy_timeout = \"3s\"\n"+
		"[[listener]]\nname = \"sniffing\"\n"+common+"[listener.sniff]\nwait = \"1s\"\ntimeout = \"3s\"\n"+
		"[[listener.sniff.route]]\nprotocol = \"tls\"\nsni = \"x\"\npool = \"raw\"\n[[listener.sniff.route]]\nprotocol = \"http\"\nhost = \"x\"\npool = \"raw\"\n"+
		fmt.Sprintf("[[pool]]\nname = \"fe\"\n[[pool.backend]]\naddress = %q\n[[pool]]\nname = \"raw\"\nprotocol = \"tcp\"\n[[pool.backend]]\naddress = %q\n", fe.Address(), fe.Address()))
	addresses := map[string]string{}
	for _, kind := range trickled {
		addresses[kind.listener] = p.address(kind.listener)
	}
	alone := logins(t, addresses["mysql"], 200)

	// One ticker for all: a byte each, until the last of them is cut.
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	var all sync.WaitGroup
	var tick sync.Mutex
	more := make(chan struct{})
	done := make(chan struct{})
	all.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-every.C:
				tick.Lock()
				close(more)
				more = make(chan struct{})
				tick.Unlock()
			}
		}
	})
	next := func() <-chan struct{} {
		tick.Lock()
		defer tick.Unlock()
		return more
	}
	var clients sync.WaitGroup
	for i := range n {
		kind := trickled[i%len(trickled)]
		clients.Go(func() {
			if err := trickle(addresses[kind.listener], kind.text, kind.listener == "mysql", next); err != nil {
				t.Errorf("%s: %v", kind.listener, err)
			}
		})
	}
	beside := logins(t, addresses["mysql"], 200)
	clients.Wait()
	close(done)
	all.Wait()
	t.Logf("logins, median and 99th of 100: %v and %v alone, %v and %v beside %d that trickle",
		alone[len(alone)/2], alone[len(alone)*99/100], beside[len(beside)/2], beside[len(beside)*99/100], n)
	_, body := p.get("/metrics")
	for _, reason := range []string{"login_timeout", "sniff_timeout", "proxy_timeout"} {
		if got, want := total(grep(body, reason), "fairlead_listener_rejects_total"), n/len(trickled); got < want {
			t.Errorf("%d were cut by %s, of %d", got, reason, want)
		}
	}
}

// trickle sends a byte at each tick, once it is greeted if it has to be, until it is cut, and wants to be before it has said all.
func trickle(address, text string, greeted bool, next func() <-chan struct{}) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if greeted {
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			return err
		}
	}
	ended := make(chan error, 1)
	go func() { // ends with the connection
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			break
		}
		select {
		case err := <-ended:
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return errors.New("never cut")
			}
			return nil
		case <-next():
		}
	}
	if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("never cut")
	}
	return nil
}

// logins logs in so often, one by one, and tells how long each took, in order.
func logins(t *testing.T, address string, n int) []time.Duration {
	t.Helper()
	var took []time.Duration
	for range n {
		began := time.Now()
		c, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatal(err)
		}
		err = logInOver(c)
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}
