package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
)

// haproxy starts HAProxy in front of servers, with one frontend and one backend, and returns the frontend's address.
// options follow each server's address.
func haproxy(t *testing.T, bind string, options string, servers ...string) string {
	t.Helper()
	program := required(t, "haproxy")
	for tries := 0; ; tries++ {
		address, err := startHAProxy(t, program, bind, options, servers)
		if err == nil {
			return address
		}
		if tries == 5 || !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
}

func startHAProxy(t *testing.T, program, bind, options string, servers []string) (address string, err error) {
	t.Helper()
	address = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	text := "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n" +
		"frontend in\n bind " + address + " " + bind + "\n default_backend out\nbackend out\n"
	for i, s := range servers {
		text += fmt.Sprintf(" server s%d %s %s\n", i, s, options)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd := exec.Command(program, "-db", "-f", path)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		ended <- nil
	})
	for {
		select {
		case err := <-ended:
			ended <- nil
			return "", fmt.Errorf("haproxy has ended: %w\n%s", err, said.String())
		default:
		}
		// A connect that comes too early is refused, and nobody tells when it is time.
		if c, err := net.DialTimeout("tcp", address, patience); err == nil {
			c.Close()
			return address, nil
		}
	}
}

// withProxy is inFront of one front end, with keys for the listener and for the pool.
func withProxy(fe *fakefe.FE, address, listener, pool string) string {
	return "[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n" + listener + "\n[[pool]]\nname = \"fe\"\n" + pool + "\n" + fast +
		fmt.Sprintf("  [[pool.backend]]\n  name = %q\n  address = %q\n", fe.Name(), address)
}

// TestBehindHAProxy: HAProxy announces the client, in both versions, and its health checks are no trouble.
func TestBehindHAProxy(t *testing.T) {
	for _, option := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(option, func(t *testing.T) {
			fe := startFE(t, fakefe.Config{})
			p := start(t, withProxy(fe, fe.Address(), `accept_proxy = "127.0.0.1"
deny = "127.0.0.3"
max_sessions_per_source = 1
proxy_from_others = "refuse"`, ""))
			front := haproxy(t, "", option+" check inter 50ms", p.address("mysql"))
			for _, from := range []string{"127.0.0.2", "127.0.0.4"} { // each of them has a session of its own
				first, local, err := loginFrom(t, from, front)
				if err != nil {
					t.Fatal(err)
				}
				if sessions := p.command("sessions", "--json").stdout; !strings.Contains(sessions, local) {
					t.Errorf("%s is not in %s", local, sessions)
				}
				if _, _, err := loginFrom(t, from, front); !refusedWith(err, 1203) {
					t.Errorf("a second session of %s: %v", from, err)
				}
				first.Close()
				p.await("the session's line", func(r record) bool { return r["client"] == local && r["user"] == "root" })
			}
			if _, _, err := loginFrom(t, "127.0.0.3", front); !refusedWith(err, 1130) {
				t.Errorf("a client that is denied: %v", err)
			}
			// The health checks announce nobody, and come from where the proxy is.
			p.await("a health check", func(r record) bool { return r["msg"] == "session" && r["user"] == "" && r["client"] != "" })
			if _, body := p.get("/metrics"); !strings.Contains(body, `fairlead_listener_rejects_total{listener="mysql",reason="denied"} 1`) {
				t.Errorf("the denied client is not counted: %s", grep(body, "rejects"))
			}
		})
	}
}

// TestInFrontOfHAProxy: HAProxy accepts the announcements, from probes too, and announces the client on, from which
// another fairlead gets to know it.
func TestInFrontOfHAProxy(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			fe := startFE(t, fakefe.Config{})
			last := start(t, withProxy(fe, fe.Address(), `accept_proxy = "127.0.0.1"`, ""))
			middle := haproxy(t, "accept-proxy", "send-proxy-v2", last.address("mysql"))
			// HAProxy closes connections without a header: the probes have one, or this would never be ready.
			first := start(t, withProxy(fe, middle, "", fmt.Sprintf("send_proxy = %q", version)))
			c, local, err := loginFrom(t, "127.0.0.7", first.address("mysql"))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			for _, p := range []*process{first, last} {
				p.await("the session of "+local, func(r record) bool { return r["client"] == local && r["user"] == "root" })
			}
		})
	}
}

// TestProbesAnnounceThemselves: a server that greets only after the header, as Doris does, is probed, and served.
func TestProbesAnnounceThemselves(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	middle := haproxy(t, "accept-proxy", "", fe.Address())
	text := withProxy(fe, middle, "", `send_proxy = "v1"`)
	text = strings.Replace(text, "[pool.probe]", "[pool.probe]\nuser = \"root\"\nquery = \"select 1\"", 1)
	p := start(t, text)
	if got := ask(t, p.open("mysql"), "select 1"); got != "1" {
		t.Errorf("select 1 is %s", got)
	}
	for flags, code := range map[string]int{"--send-proxy=v2": 0, "--send-proxy=v1": 0, "--send-proxy=v3": 2, "--timeout=200ms": 1} {
		if out := fairlead(t, "probe", flags, middle); out.code != code {
			t.Errorf("probe %s: exit status %d, want %d\n%s%s", flags, out.code, code, out.stdout, out.stderr)
		}
	}
	status := p.command("status", "--json").stdout
	if !strings.Contains(status, `"up"`) {
		t.Errorf("the probes fail: %s", status)
	}
}

// loginFrom logs in from an address of this host, and tells which port it got.
func loginFrom(t *testing.T, from, to string) (c net.Conn, local string, err error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	raw, err := d.Dial("tcp", to)
	if err != nil {
		return nil, "", err
	}
	t.Cleanup(func() { raw.Close() })
	return raw, raw.LocalAddr().String(), logInOver(raw)
}

func refusedWith(err error, code uint16) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused) && refused.Number == code
}

// grep is the lines of a text that hold a word.
func grep(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// logInOver logs in as root over a connection, which stays open.
func logInOver(c net.Conn) error {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr = "root", "tcp", c.RemoteAddr().String()
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return c, nil }
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err = connector.Connect(ctx)
	return err
}
