package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/fakefe"
	"fairlead/internal/mysqlwire"
)

// doors is one port with a server of each protocol behind it.
type doors struct {
	*process
	at     string
	web    *http.Client // plain
	secure *http.Client
}

// digest answers with what has come: its length and hash.
var digest = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
	h := sha256.New()
	n, _ := io.Copy(h, q.Body)
	scheme := "http"
	if q.TLS != nil {
		scheme = "https " + q.TLS.ServerName
	}
	fmt.Fprintf(w, "%s %d %x", scheme, n, h.Sum(nil))
})

// openDoors serves MySQL, HTTP and HTTPS for *.fe.example on one port. Clients of MySQL wait for as long as others may need
// for their first word.
func openDoors(t *testing.T, wait string) *doors {
	t.Helper()
	fe := startFE(t, fakefe.Config{})
	plain, secure := httptest.NewServer(digest), httptest.NewUnstartedServer(digest)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that leave halfway are told of there
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	text := `
[[listener]]
name = "all"
bind = "127.0.0.1:0"
pool = "fe"
[listener.sniff]
wait = "` + wait + `"
timeout = "10s"
[[listener.sniff.route]]
protocol = "http"
pool = "fe-http"
[[listener.sniff.route]]
protocol = "tls"
sni = ["*.fe.example"]
pool = "fe-https"
`
	for name, address := range map[string]string{"fe": fe.Address(), "fe-http": plain.Listener.Addr().String(), "fe-https": secure.Listener.Addr().String()} {
		text += fmt.Sprintf("[[pool]]\nname = %q\nprotocol = %q\n[[pool.backend]]\naddress = %q\n", name, map[bool]string{true: "mysql", false: "tcp"}[name == "fe"], address)
	}
	d := &doors{process: start(t, text)}
	d.at = d.address("all")
	d.web = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	d.secure = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "sql.fe.example"}}}
	return d
}

// TestRealClientsOnOnePort: curl, MariaDB's client and psql.
func TestRealClientsOnOnePort(t *testing.T) {
	d := openDoors(t, "100ms")
	_, port, _ := net.SplitHostPort(d.at)
	run := func(program string, arguments ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, required(t, program), arguments...).CombinedOutput()
		return string(out), err
	}
	t.Run("curl http", func(t *testing.T) {
		if out, err := run("curl", "-sS", "-d", "hello", "http://"+d.at+"/"); err != nil || out != fmt.Sprintf("http 5 %x", sha256.Sum256([]byte("hello"))) {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("curl https", func(t *testing.T) {
		out, err := run("curl", "-sSk", "--resolve", "web.fe.example:"+port+":127.0.0.1", "-d", "hello", "https://web.fe.example:"+port+"/")
		if err != nil || out != fmt.Sprintf("https web.fe.example 5 %x", sha256.Sum256([]byte("hello"))) {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("curl https, a name that is not served", func(t *testing.T) {
		if out, err := run("curl", "-sSk", "--resolve", "other:"+port+":127.0.0.1", "https://other:"+port+"/"); err == nil {
			t.Errorf("served: %q", out)
		}
	})
	t.Run("mariadb", func(t *testing.T) {
		if out, err := run("mariadb", "-h127.0.0.1", "-P"+port, "-uroot", "--skip-ssl", "-BNe", "select 1"); err != nil || out != "1\n" {
			t.Errorf("%q, %v", out, err)
		}
	})
	t.Run("psql", func(t *testing.T) {
		if out, err := run("psql", "-h127.0.0.1", "-p"+port, "-Uroot", "-c", "select 1"); err == nil {
			t.Errorf("served: %q", out)
		}
	})
}

// TestMixedClientsOnOnePort: so many connections of every kind at random, many at the same time; FAIRLEAD_E2E_MIXED says
// how many there are in place of 1,000.
func TestMixedClientsOnOnePort(t *testing.T) {
	n := 1000
	if text := os.Getenv("FAIRLEAD_E2E_MIXED"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	d := openDoors(t, "1s")
	kinds := []struct {
		name   string
		client func() error
	}{
		{"login", d.mysql}, {"http", func() error { return d.post(d.web, "http", "http") }},
		{"https", func() error { return d.post(d.secure, "https", "https sql.fe.example") }},
		{"psql", func() error { return d.refused("\x00\x00\x00\x08\x04\xd2\x16\x2f") }},
		{"rubbish", d.rubbish}, {"silence", d.silence}, {"leaving", d.leave},
	}
	files := d.openFiles()
	next := make(chan int)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			for i := range next {
				if k := kinds[i%len(kinds)]; !t.Failed() {
					if err := k.client(); err != nil {
						t.Errorf("%s: %v", k.name, err)
					}
				}
			}
		})
	}
	for range n {
		next <- rand.IntN(len(kinds))
	}
	close(next)
	all.Wait()
	d.poll("all sessions to end", func() bool { return strings.TrimSpace(d.command("sessions", "--json").stdout) == "[]" })
	d.poll("descriptors to be freed", func() bool { return d.openFiles() <= files+5 }) // probes come and go
	_, body := d.get("/metrics")
	accepted, ended := total(body, "fairlead_listener_accepts_total"), total(body, "fairlead_sessions_total")
	if accepted < n || accepted != ended {
		t.Errorf("%d were accepted, %d have ended, of %d", accepted, ended, n)
	}
}

func (d *doors) openFiles() int {
	names, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	return len(names)
}

// total adds up the series of a counter.
func total(metrics, name string) int {
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`\{.*\} (\S+)$`).FindAllStringSubmatch(metrics, -1) {
		v, _ := strconv.ParseFloat(m[1], 64)
		sum += v
	}
	return int(sum)
}

func (d *doors) dial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", d.at, patience)
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func (d *doors) mysql() error {
	c, err := d.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return logInOver(c)
}

// post sends bytes at random and wants their hash back.
func (d *doors) post(client *http.Client, scheme, served string) error {
	body := make([]byte, rand.IntN(100_000))
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	answer, err := client.Post(scheme+"://"+d.at, "application/octet-stream", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if want := fmt.Sprintf("%s %d %x", served, len(body), sha256.Sum256(body)); string(text) != want {
		return fmt.Errorf("%s %q, %w, want %q", answer.Status, text, err, want)
	}
	return err
}

// refused says what nobody serves, and wants to be turned away, without a greeting.
func (d *doors) refused(said string) error {
	c, err := d.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, said); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("not turned away after %q: %w", said, err)
	}
	if len(b) > 4 && b[4] == 10 {
		return fmt.Errorf("greeted after %q", said)
	}
	return nil
}

// rubbish begins like nothing that is served.
func (d *doors) rubbish() error {
	b := make([]byte, 1+rand.IntN(200))
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] = "abcdefghij"[rand.IntN(10)]
	for len(b) < 4 { // fewer could become a login
		b = append(b, 'x')
	}
	b[3] = 'x'
	return d.refused(string(b))
}

// silence waits to be greeted, and leaves.
func (d *doors) silence() error {
	c, err := d.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	_, payload, err := mysqlwire.ReadPacket(c, nil, 1<<16)
	if err == nil {
		_, err = mysqlwire.ParseGreeting(payload)
	}
	return err
}

// leave says half a word, or none, and goes by FIN or by RST.
func (d *doors) leave() error {
	c, err := d.dial()
	if err != nil {
		return err
	}
	said := []string{"", "GE", "\x16\x03\x01\x02\x00\x01\x00", "PUT / HTTP/1.1\r\n", "\x20\x00"}
	if _, err := io.WriteString(c, said[rand.IntN(len(said))]); err != nil {
		return err
	}
	if rand.IntN(2) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	return c.Close()
}
