package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/metrics"
)

// serve serves a balancer that listens nowhere, with backends that nobody probes: fe/one, fe/twin, fe2/twin.
func serve(t *testing.T) (*Client, string, *balancer.Balancer) {
	t.Helper()
	byDefault := config.Default()
	pool := func(name string, backends ...balancer.BackendConfig) balancer.PoolConfig {
		p := byDefault.Pool
		p.Name, p.Backends = name, backends
		return p
	}
	listener := func(name, pool string) balancer.ListenerConfig {
		l := byDefault.Listener
		l.Name, l.Pool, l.Bind = name, pool, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		return l
	}
	b, err := balancer.New(balancer.Config{
		Engine:    byDefault.Engine,
		Listeners: []balancer.ListenerConfig{listener("mysql", "fe"), listener("mysql2", "fe2")},
		Pools: []balancer.PoolConfig{
			pool("fe", balancer.BackendConfig{Name: "one", Address: "127.0.0.1:1", Weight: 1},
				balancer.BackendConfig{Name: "twin", Address: "127.0.0.1:2", Weight: 1}),
			pool("fe2", balancer.BackendConfig{Name: "twin", Address: "127.0.0.1:3", Weight: 1, MaxSessions: 5}),
		},
	}, balancer.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	c, path := answering(t, NewServer(b, About{Version: "1.2.3", PID: os.Getpid(), File: "config.toml"}, slog.New(slog.DiscardHandler)))
	return c, path, b
}

// answering has a server answer at a socket.
func answering(t *testing.T, s *Server) (*Client, string) {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { s.Close(); serving.Wait() })
	return NewClient(path), path
}

// TestNotForPages: what a browser would send for a page is refused, whatever it asks for.
func TestNotForPages(t *testing.T) {
	c, path, b := serve(t)
	for _, request := range []string{
		"POST /v1/backends/drain HTTP/1.1\r\nHost: fairlead\r\nOrigin: http://elsewhere.example\r\n",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: fairlead\r\nOrigin: null\r\n",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: fairlead\r\nSec-Fetch-Site: same-origin\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: fairlead\r\nSec-Fetch-Site: cross-site\r\n",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"backend": "one"}`
		fmt.Fprintf(conn, "%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", request, len(body), body)
		said, _ := io.ReadAll(conn)
		conn.Close()
		if !strings.HasPrefix(string(said), "HTTP/1.1 403 ") || !strings.Contains(string(said), "web pages") {
			t.Errorf("%q is answered by %q", request, said)
		}
	}
	if state := b.Pool("fe").Backend("one").State(); state == balancer.Draining {
		t.Error("the order of a page was carried out")
	}
	if _, err := c.Order(t.Context(), balancer.Drain, Instruction{Backend: "one"}); err != nil {
		t.Error(err)
	}
}

func TestStatusAndSessions(t *testing.T) {
	c, _, _ := serve(t)
	s, err := c.Status(t.Context())
	if err != nil || s.Version != "1.2.3" || s.PID != os.Getpid() || len(s.Pools) != 2 || s.Pools[1].Backends[0].MaxSessions != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	all, total, err := c.Sessions(t.Context(), SessionsQuery{})
	if err != nil || all == nil || len(all) != 0 || total != 0 {
		t.Errorf("%v, %d, %v", all, total, err)
	}
	for _, wrong := range []SessionsQuery{{Sort: "size"}, {Sort: "<b>"}} {
		if _, _, err := c.Sessions(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "there are [id bytes age idle]") {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

func TestChooseSessions(t *testing.T) {
	all := []balancer.LiveSession{
		{ID: 1, ToServer: 10, ToClient: 10, Age: 40, Idle: 5},
		{ID: 2, ToServer: 0, ToClient: 500, Age: 30, Idle: 30},
		{ID: 3, ToServer: 300, ToClient: 10, Age: 20, Idle: 0},
		{ID: 4, ToServer: 10, ToClient: 10, Age: 10, Idle: 5},
	}
	for _, c := range []struct {
		query SessionsQuery
		want  []uint64
	}{
		{SessionsQuery{}, []uint64{1, 2, 3, 4}},
		{SessionsQuery{Sort: ByID, Limit: 2}, []uint64{1, 2}},
		{SessionsQuery{Sort: ByBytes}, []uint64{2, 3, 1, 4}},
		{SessionsQuery{Sort: ByAge, Limit: 9}, []uint64{1, 2, 3, 4}},
		{SessionsQuery{Sort: ByIdle, Limit: 3}, []uint64{2, 1, 4}},
	} {
		sent, err := readSessionsQuery(c.query.values())
		if err != nil || sent != c.query {
			t.Errorf("%+v arrives as %+v, %v", c.query, sent, err)
		}
		var got []uint64
		for _, s := range c.query.choose(slices.Clone(all)) {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.query, got, c.want)
		}
	}
	for _, bad := range []string{"limit=-1", "limit=x", "limit=99999999999999999999", "sort=x"} {
		v, _ := url.ParseQuery(bad)
		if q, err := readSessionsQuery(v); err == nil {
			t.Errorf("%s is taken for %+v", bad, q)
		}
	}
}

func TestOrders(t *testing.T) {
	c, _, b := serve(t)
	for _, step := range []struct {
		order   balancer.Order
		backend string
		want    Ordered
	}{
		{balancer.Drain, "one", Ordered{Pool: "fe", Backend: "one", State: balancer.Draining}},
		{balancer.Disable, "127.0.0.1:1", Ordered{Pool: "fe", Backend: "one", State: balancer.Disabled}},
		{balancer.Enable, "fe/one", Ordered{Pool: "fe", Backend: "one", State: balancer.Unknown}},
		{balancer.Drain, "fe2/twin", Ordered{Pool: "fe2", Backend: "twin", State: balancer.Draining}},
		{balancer.Disable, "fe/127.0.0.1:2", Ordered{Pool: "fe", Backend: "twin", State: balancer.Disabled}},
	} {
		got, err := c.Order(t.Context(), step.order, Instruction{Backend: step.backend})
		if err != nil || got != step.want {
			t.Errorf("%v %s: %+v, %v", step.order, step.backend, got, err)
		}
	}
	s := b.Status()
	if one := s.Pools[0].Backends[0]; one.Order != "" {
		t.Errorf("an enabled backend: %+v", one)
	}
	if twin := s.Pools[1].Backends[0]; twin.Order != "drain" || !strings.HasPrefix(twin.Reason, "drain ordered") {
		t.Errorf("a drained backend: %+v", twin)
	}
	for backend, want := range map[string]string{
		"twin":     "several backends are called that: \"twin\": say one of fe/twin, fe2/twin",
		"oen":      `did you mean "one"?`,
		"fe3/twin": `did you mean "fe/twin"?`,
		"zzzzzzzz": "there are fe/one, fe/twin, fe2/twin",
		"":         `the request must be {"backend"`,
	} {
		_, err := c.Order(t.Context(), balancer.Drain, Instruction{Backend: backend})
		var named *BackendError
		if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &named) != (backend != "") {
			t.Errorf("%q: %v", backend, err)
		}
	}
}

// TestUnwelcome: whatever is sent gets an answer or an end, in bounded time and memory, and the server goes on.
func TestUnwelcome(t *testing.T) {
	c, path, _ := serve(t)
	for sent, want := range map[string]string{
		"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                                                       "404",
		"GET /v2/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                                                        "does not know GET /v2/status",
		"DELETE /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                                                     "does not know DELETE",
		"GET /v1/backends/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                                                "does not know GET",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n{]}":                                                       "400",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 24\r\n\r\n{\"backend\":\"a\",\"b\":true}":                           "400",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000\r\n\r\n{\"backend\":\"" + strings.Repeat("x", 9000-14) + "\"}": "400",
		"GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":                                                              "431",
		"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n":                                                                                                                   "400",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, sent) // may be cut off
		if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn) // up to whatever end it comes to
		conn.Close()
		if !strings.Contains(string(answer), want) {
			t.Errorf("%.60q: %q, want %s", sent, answer, want)
		}
	}
	var asking sync.WaitGroup
	for range 2 * mostConnections {
		asking.Go(func() {
			if _, err := c.Status(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
}

func TestClientErrors(t *testing.T) {
	dir := shortDir(t)
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "is fairlead running? There is no socket at " + filepath.Join(dir, "none"),
		dead:                       "fairlead is not running any more: nobody listens at " + dead,
	} {
		_, err := NewClient(path).Status(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, _, _ := serve(t)
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestStatusJSON pins the names of fields that scripts rely on.
func TestStatusJSON(t *testing.T) {
	c, _, _ := serve(t)
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "pid", "file", "started", "ready", "not_ready", "sessions", "loops", "listeners", "pools", "name",
		"addresses", "pool", "protocol", "policy", "queued", "backends", "state", "since", "weight", "max_sessions", "total", "failures", "probed",
		"connect", "greeting", "now", "rates", "new_sessions", "to_server", "to_client"} {
		if !strings.Contains(string(text), `"`+field+`":`) {
			t.Errorf("no field %s in %s", field, text)
		}
	}
}

// TestSlow: whoever takes too long for a question, or for its body, or does nothing with a connection, is cut off.
func TestSlow(t *testing.T) {
	_, _, b := serve(t)
	s := NewServer(b, About{}, slog.New(slog.DiscardHandler))
	for what, bound := range map[string]time.Duration{"header": s.http.ReadHeaderTimeout, "request": s.http.ReadTimeout, "answer": s.http.WriteTimeout, "idle": s.http.IdleTimeout} {
		if bound <= 0 || bound > time.Minute {
			t.Errorf("%s: the bound is %v", what, bound)
		}
	}
	s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.IdleTimeout = time.Millisecond, time.Millisecond, time.Millisecond
	_, path := answering(t, s)
	for _, sent := range []string{
		"", "GET /v1/sta", "GET /v1/status HTTP/1.1\r\nHost: x\r\n",
		"POST /v1/backends/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{\"backend\"",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, sent) // it may be cut off already
		if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.40q is waited for without end", sent)
		}
		conn.Close()
	}
}
