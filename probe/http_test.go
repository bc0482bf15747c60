package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"
)

// httpServer serves until the test ends and returns its address.
func httpServer(t testing.TB, handle http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
}

// answers is a handler that gives one answer.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func healthURL(address netip.AddrPort) string {
	return fmt.Sprintf("http://{host}:%d/api/health", address.Port())
}

// mysqlAt is a fit server at an address whose host is a name that DNS doesn't know.
func mysqlAt(t testing.TB) Target {
	target := at(serve(t, says(starRocks().Append(nil))))
	target.Host = "fe1.invalid"
	return target
}

const healthy = `{"online_backend_num":3,"total_backend_num":3}`

func TestHealth(t *testing.T) {
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		beside expectation // with the MySQL port
		alone  expectation // with type http
		config string      // part of ConfigError
	}{
		"fit": {answers(200, healthy), expectation{Fit, StepHTTP, "", ""}, expectation{Fit, StepHTTP, "", ""}, ""},
		"leaving": {answers(500, ""),
			expectation{Leaving, StepHTTP, failHTTP5xx, "/api/health answers 500 Internal Server Error (the server is leaving: it still serves)"},
			expectation{Unfit, StepHTTP, failHTTP5xx, "/api/health answers 500 Internal Server Error"}, ""},
		"leaving, Doris": {answers(200, `{"msg":"Server is not ready","code":503,"data":null,"count":0}`),
			expectation{Leaving, StepHTTP, failHTTPNotReady, "answers 200 OK and that it is not ready"},
			expectation{Unfit, StepHTTP, failHTTPNotReady, "not ready"}, ""},
		"denied": {answers(401, ""), expectation{Fit, StepHTTP, "", ""},
			expectation{Undecided, StepHTTP, failConfig, "answers 401 Unauthorized: check http, or set http_user"}, "http: http://fe1.invalid:"},
		"forbidden": {answers(403, "not ready"), expectation{Fit, StepHTTP, "", ""},
			expectation{Undecided, StepHTTP, failConfig, "answers 403 Forbidden"}, "http: "},
		"denied, Doris": {answers(200, `{"msg":"Unauthorized","code":401}`), expectation{Fit, StepHTTP, "", ""},
			expectation{Undecided, StepHTTP, failConfig, "answers 200 OK with code 401"}, "http: "},
		"wrong path": {answers(404, ""), expectation{Fit, StepHTTP, "", ""},
			expectation{Undecided, StepHTTP, failConfig, "answers 404 Not Found: check http"}, "http: "},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
			expectation{Fit, StepHTTP, "", ""}, expectation{Undecided, StepHTTP, failConfig, "answers 302 Found"}, "http: "},
		"endless body": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, expectation{Fit, StepHTTP, "", ""}, expectation{Fit, StepHTTP, "", ""}, ""},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			expectation{Unfit, StepHTTP, failHTTPError, "the server closed the connection without an answer"},
			expectation{Unfit, StepHTTP, failHTTPError, "the server closed the connection without an answer"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			port := httpServer(t, test.handle)
			target := mysqlAt(t)
			r := Once(t.Context(), Config{Timeout: long, HTTP: healthURL(port)}, target)
			test.beside.check(t, r)
			if !strings.HasPrefix(r.ConfigError, test.config) || (r.ConfigError == "") != (test.config == "") {
				t.Errorf("configuration error %q, want %q", r.ConfigError, test.config)
			}
			if r.Version != "8.0.33" {
				t.Errorf("the greeting is not told of: %+v", r)
			}
			r = Once(t.Context(), Config{Type: TypeHTTP, Timeout: long, HTTP: healthURL(port)}, target)
			test.alone.check(t, r)
			if r.Address != port || r.Connect <= 0 {
				t.Errorf("asked at %s, not %s", r.Address, port)
			}
		})
	}
}

func TestHealthUnreachable(t *testing.T) {
	t.Parallel()
	closed, target := closedPort(t), mysqlAt(t)
	r := Once(t.Context(), Config{Timeout: long, HTTP: healthURL(closed)}, target)
	expectation{Unfit, StepHTTP, failHTTPRefused, "connection refused (nothing listens there)"}.check(t, r)

	r = Once(t.Context(), Config{Type: TypeHTTP, HTTP: healthURL(closed)}, Target{Host: "fe1.invalid"})
	expectation{Unfit, StepResolve, failResolve, `no address is known for "fe1.invalid"`}.check(t, r)

	release := make(chan struct{})
	silent := httpServer(t, func(http.ResponseWriter, *http.Request) { <-release })
	r = Once(t.Context(), Config{Timeout: time.Second, HTTP: healthURL(silent)}, target)
	close(release)
	expectation{Unfit, StepHTTP, failHTTPTimeout, "no answer within 1s"}.check(t, r)
}

// A server that does not greet is not asked: it can't be leaving.
func TestHealthIsAskedOnlyAfterTheGreeting(t *testing.T) {
	port := httpServer(t, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	r := Once(t.Context(), Config{Timeout: long, HTTP: healthURL(port)}, at(closedPort(t)))
	expectation{Unfit, StepConnect, failConnectRefused, ""}.check(t, r)
}

func TestHealthCredentials(t *testing.T) {
	secret := file(t, "one\n")
	port := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "root" || password != "one" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := Config{Timeout: long, Type: TypeHTTP, HTTP: healthURL(port), HTTPUser: "root", HTTPPasswordFile: secret}
	expectation{Fit, StepHTTP, "", ""}.check(t, Once(t.Context(), c, mysqlAt(t)))
	c.HTTPPasswordFile = file(t, "two\n")
	r := Once(t.Context(), c, mysqlAt(t))
	expectation{Undecided, StepHTTP, failConfig, "401 Unauthorized: check http, http_user and http_password_file"}.check(t, r)
	c.HTTPPasswordFile = "/nonexistent/secret"
	expectation{Undecided, StepHTTP, failConfig, "http_password_file: open /nonexistent/secret"}.check(t, Once(t.Context(), c, mysqlAt(t)))
}

func TestHealthOverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(answers(200, healthy))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a refused certificate is no news
	server.StartTLS()
	defer server.Close()
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Timeout: long, HTTP: "https://{host}:" + address.Port() + "/api/health"}
	r := Once(t.Context(), c, mysqlAt(t))
	expectation{Unfit, StepHTTP, failHTTPError, "certificate"}.check(t, r)
	c.TLS = "skip-verify"
	expectation{Fit, StepHTTP, "", ""}.check(t, Once(t.Context(), c, mysqlAt(t)))
}

func TestBootstrapAndRole(t *testing.T) {
	const token = "0b3c4ee2-secret-token"
	for name, test := range map[string]struct {
		status  int
		body    string
		metrics string
		want    expectation
		role    string
		known   bool
	}{
		"leader":   {200, `{"status":"OK","msg":"Success"}`, "node_info{type=\"is_master\"} 1\n", expectation{Fit, StepHTTP, "", ""}, RoleLeader, true},
		"follower": {200, `{"code":0,"msg":"success"}`, "node_info{type=\"fe_node_num\", state=\"total\"} 3\n", expectation{Fit, StepHTTP, "", ""}, "", true},
		"unknown":  {200, `{"status":"ok"}`, "up 1\n", expectation{Fit, StepHTTP, "", ""}, "", false},
		"behind": {200, `{"status":"FAILED","msg":"not ready","token":"` + token + `"}`, "",
			expectation{Unfit, StepHTTP, failHTTPBehind, "http: falls behind: http://fe1.invalid:"}, "", false},
		"behind, Doris": {200, `{"code":1,"msg":"Error","data":"not ready"}`, "",
			expectation{Unfit, StepHTTP, failHTTPBehind, "/api/bootstrap answers code 1"}, "", false},
		"no JSON": {200, token, "", expectation{Unfit, StepHTTP, failHTTPBehind, "no JSON object"}, "", false},
		"broken":  {503, token, "", expectation{Unfit, StepHTTP, failHTTP5xx, "503 Service Unavailable"}, "", false},
		"denied":  {401, token, "", expectation{Fit, StepHTTP, "", ""}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			port := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/api/health":
					fmt.Fprint(w, healthy)
				case "/api/bootstrap":
					w.WriteHeader(test.status)
					fmt.Fprint(w, test.body)
				case "/metrics":
					fmt.Fprint(w, test.metrics)
				default:
					t.Errorf("asked for %s", r.URL)
				}
				if r.URL.Path != "/api/health" && r.URL.RawQuery != "" {
					t.Errorf("asked for %s", r.URL)
				}
			})
			r := Once(t.Context(), Config{Timeout: long, HTTP: healthURL(port) + "?full=1", Bootstrap: true, LeaderFromMetrics: true}, mysqlAt(t))
			test.want.check(t, r)
			if r.Role != test.role || r.RoleKnown != test.known {
				t.Errorf("role %q, known %v", r.Role, r.RoleKnown)
			}
			if all, _ := json.Marshal(r); strings.Contains(string(all), token) {
				t.Errorf("the token is told: %s", all)
			}
		})
	}
}

func TestHostInURL(t *testing.T) {
	for _, test := range [][3]string{
		{"http://{host}:8030/api/health", "fe1.example", "http://fe1.example:8030/api/health"},
		{"http://{host}:8030/api/health", "10.0.0.1", "http://10.0.0.1:8030/api/health"},
		{"http://{host}:8030/api/health", "2001:db8::1", "http://[2001:db8::1]:8030/api/health"},
		{"http://[{host}]:8030/", "2001:db8::1", "http://[2001:db8::1]:8030/"},
		{"http://{host}:8030/", "fe80::1%eth0", "http://[fe80::1%25eth0]:8030/"},
		{"http://10.0.0.9:8030/{host}", "fe1", "http://10.0.0.9:8030/fe1"},
	} {
		got := expandHost(test[0], test[1])
		u, err := url.Parse(got)
		if got != test[2] || err != nil {
			t.Errorf("%s with %s gives %s, want %s: %v", test[0], test[1], got, test[2], err)
		} else if test[1] == "fe80::1%eth0" && u.Hostname() != test[1] {
			t.Errorf("host %s", u.Hostname())
		}
	}
}

func isPrintable(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func FuzzHealth(f *testing.F) {
	f.Add(200, []byte(healthy))
	f.Add(500, []byte(""))
	f.Add(200, []byte("Server is NOT Ready"))
	f.Add(200, []byte(`{"code":401}`))
	f.Add(999, []byte{0xff})
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := judgeHealth(status, body)
		notReady := strings.Contains(string(body), "not ready")
		switch {
		case answer.verdict == Fit && (status != 200 || notReady):
			t.Fatalf("fit by %d %q", status, body)
		case answer.verdict != Leaving && (status >= 500 || status == 200 && notReady):
			t.Fatalf("%v by %d %q", answer.verdict, status, body)
		case (answer.failure == "") != (answer.verdict == Fit) || !isPrintable(answer.text):
			t.Fatalf("%+v", answer)
		}
	})
}

func FuzzBootstrap(f *testing.F) {
	f.Add(200, []byte(`{"status":"OK"}`))
	f.Add(200, []byte(`{"status":"FAILED","msg":"not ready"}`))
	f.Add(200, []byte(`{"code":0}`))
	f.Add(401, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := judgeBootstrap(status, body)
		switch {
		case answer.verdict == Fit && (status != 200 || !json.Valid(body)):
			t.Fatalf("fit by %d %q", status, body)
		case (answer.failure == "") != (answer.verdict == Fit) || !isPrintable(answer.text) || len(answer.text) > 5*maxQuote:
			t.Fatalf("%+v", answer)
		}
	})
}
