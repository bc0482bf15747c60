package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fairlead/internal/fakefe"
)

// startFE starts a stand-in front end that ends with the test.
func startFE(t *testing.T, c fakefe.Config) *fakefe.FE {
	t.Helper()
	fe, err := fakefe.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fe.Stop)
	return fe
}

// fast are probes in a hurry, for tests that wait for them.
const fast = `
  [pool.probe]
  interval = "100ms"
  fast_interval = "20ms"
`

// inFront is a configuration with a listener and a pool in front of backends, named as the front ends are.
func inFront(fes ...*fakefe.FE) string {
	text := "[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n[[pool]]\nname = \"fe\"\nslow_start = \"0s\"\n" + fast
	for _, fe := range fes {
		text += fmt.Sprintf("  [[pool.backend]]\n  name = %q\n  address = %q\n", fe.Name(), fe.Address())
	}
	return text
}

// example is config.toml.example with these values in place of its own, as a user would change them.
func example(t *testing.T, values map[string]string) string {
	t.Helper()
	text, err := os.ReadFile("../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	changed := string(text)
	for key, value := range values {
		line := regexp.MustCompile(`(?m)^( *` + key + ` = ).*$`)
		if n := len(line.FindAllString(changed, -1)); n != 1 {
			t.Fatalf("config.toml.example has %d lines with %s", n, key)
		}
		changed = line.ReplaceAllString(changed, "${1}"+value)
	}
	return changed
}

// TestRunExample: the file that a user begins with, all of whose keys are at their defaults, serves.
func TestRunExample(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	p := launch(t, example(t, map[string]string{
		"listen":  `"127.0.0.1:0"`,
		"socket":  fmt.Sprintf("%q", filepath.Join(dir, "s")),
		"bind":    `"127.0.0.1:0"`,
		"address": fmt.Sprintf("%q", fe.Address()),
		"format":  `"json"`,
	}))
	p.awaitReady()
	if code, body := p.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	db := openDB(t, "root@tcp("+p.address("mysql")+")/sales?connectionAttributes=program_name:e2e")
	c := connect(t, db)
	if got := ask(t, c, "select @@hostname"); got != "fe1" {
		t.Errorf("the answer came from %q", got)
	}
	id := ask(t, c, "select connection_id()")
	db.Close()
	c.Close()

	r := p.await("the session's line", func(r record) bool { return r["msg"] == "session" && r["user"] == "root" })
	for key, want := range map[string]string{"listener": "mysql", "pool": "fe", "backend": fe.Address(), "user": "root",
		"database": "sales", "program": "e2e", "connection_id": id} {
		if got := fmt.Sprint(number(r[key])); got != want {
			t.Errorf("the session's %s is %q, want %q", key, got, want)
		}
	}
	end := fmt.Sprint(r["end"])
	if end != "client_closed" && end != "server_closed" { // after COM_QUIT either may be the first to close
		t.Errorf("the session's end is %q", end)
	}
	for _, key := range []string{"to_server", "to_client", "connect", "greeting", "duration"} {
		if n, ok := r[key].(float64); !ok || n <= 0 {
			t.Errorf("the session's %s is %v", key, r[key])
		}
	}
	p.poll("the counts to be back at zero", func() bool {
		m := p.metrics()
		return m[fmt.Sprintf(`fairlead_backend_sessions{backend="%s",pool="fe"}`, fe.Address())] == "0"
	})
	m := p.metrics()
	for series, want := range map[string]string{
		`fairlead_listener_accepts_total{listener="mysql"}`:                                                         "1",
		fmt.Sprintf(`fairlead_sessions_total{backend="%s",end="%s",listener="mysql",pool="fe"}`, fe.Address(), end): "1",
		fmt.Sprintf(`fairlead_backend_state{backend="%s",pool="fe",state="up"}`, fe.Address()):                      "1",
		fmt.Sprintf(`fairlead_backend_state{backend="%s",pool="fe",state="down"}`, fe.Address()):                    "0",
	} {
		if m[series] != want {
			t.Errorf("%s is %q, want %q", series, m[series], want)
		}
	}
}

// number writes a figure of JSON without its decimals.
func number(v any) any {
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", f)
	}
	return v
}

// metrics scrapes: series with their labels, and values.
func (p *process) metrics() map[string]string {
	p.t.Helper()
	code, body := p.get("/metrics")
	if code != http.StatusOK {
		p.t.Fatalf("/metrics: %d %s", code, body)
	}
	all := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		if series, value, ok := strings.Cut(lines.Text(), "} "); ok && !strings.HasPrefix(series, "#") {
			all[series+"}"] = value
		} else if series, value, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(series, "#") {
			all[series] = value
		}
	}
	return all
}

func TestReadiness(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	if err := fe.Set(fakefe.Refuse); err != nil {
		t.Fatal(err)
	}
	p := launch(t, inFront(fe))
	code, body := p.get("/readyz")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, `no backend of pool "fe" is up`) {
		t.Errorf("without a backend: %d %q", code, body)
	}
	if code, _ := p.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz: %d", code)
	}
	if err := fe.Restore(); err != nil {
		t.Fatal(err)
	}
	p.awaitReady()
	if err := fe.Set(fakefe.Kill); err != nil {
		t.Fatal(err)
	}
	p.poll("/readyz to say no", func() bool {
		code, _ := p.get("/readyz")
		return code == http.StatusServiceUnavailable
	})
}

// TestAdminIsReadOnly: nothing can be changed over TCP, and no other site's page can read.
func TestAdminIsReadOnly(t *testing.T) {
	p := launch(t, inFront(startFE(t, fakefe.Config{})))
	for _, c := range []struct {
		method, path, header, value string
		want                        int
	}{
		{"GET", "/", "", "", 200},
		{"HEAD", "/status", "", "", 200},
		{"GET", "/status", "", "", 200},
		{"GET", "/nothing", "", "", 404},
		{"GET", "/history", "", "", 200},
		{"GET", "/history?since=7", "", "", 200},
		{"GET", "/history?since=-1", "", "", 400},
		{"GET", "/history?since=18446744073709551616", "", "", 400},
		{"POST", "/status", "", "", 405},
		{"POST", "/", "", "", 405},
		{"PUT", "/history", "", "", 405},
		{"DELETE", "/metrics", "", "", 405},
		{"PATCH", "/readyz", "", "", 405},
		{"OPTIONS", "/healthz", "", "", 405},
		{"TRACE", "/", "", "", 405},
		{"POST", "/v1/backends/drain", "", "", 404},
		{"GET", "/v1/status", "", "", 404},
		{"GET", "/status", "Sec-Fetch-Site", "cross-site", 403},
		{"GET", "/status", "Sec-Fetch-Site", "same-origin", 200},
		{"GET", "/status", "Origin", "http://other.example", 403},
		{"GET", "/status", "Origin", "null", 403},
		{"GET", "/status", "Origin", "http://" + p.admin, 200},
		{"GET", "/status", "Host", "rebound.example:9090", 421},
		{"GET", "/status", "Host", "localhost:9090", 200},
		{"GET", "/status", "X-Big", strings.Repeat("x", 64<<10), 431},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+p.admin+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header == "Host" {
			request.Host = c.value
		} else if c.header != "" {
			request.Header.Set(c.header, c.value)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.want || response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s with %s %.30s: %d, want %d", c.method, c.path, c.header, c.value, response.StatusCode, c.want)
		}
	}
}
