package probe

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	_, ca := certificate(t, "fe1")
	secret, empty := file(t, "secret\n"), file(t, "")
	tooLong := file(t, strings.Repeat("x", maxSecret+1))
	const health = "http://{host}:8030/api/health"
	for _, test := range []struct {
		config Config
		want   string // "" when all is well
	}{
		{Config{}, ""},
		{Config{Type: "mysql", Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1, User: "probe", PasswordFile: secret,
			Query: "select 1", Expect: text("1"), TLS: ca, HTTP: health, HTTPUser: "root", HTTPPasswordFile: empty,
			Bootstrap: true, LeaderFromMetrics: true}, ""},
		{Config{Type: "tcp"}, ""},
		{Config{Type: "http", HTTP: "https://{host}/", TLS: "skip-verify"}, ""},
		{Config{HTTP: "http://[{host}]:8030/"}, ""},
		{Config{User: "probe", TLS: "true"}, ""},
		{Config{TLS: "false"}, ""},
		{Config{Type: "ping"}, `type: "ping" is none of mysql, tcp, http`},
		{Config{Interval: -1}, "interval: must not be negative"},
		{Config{FastInterval: -1}, "fast_interval: must not be negative"},
		{Config{Timeout: -1}, "timeout: must not be negative"},
		{Config{Rise: -1}, "rise: must not be negative"},
		{Config{Fall: -1}, "fall: must not be negative"},
		{Config{Type: "http"}, "http: type http needs a URL"},
		{Config{HTTP: "{host}:8030"}, `http: parse "127.0.0.1:8030": first path segment in URL cannot contain colon`},
		{Config{HTTP: "ftp://{host}/"}, `http: "ftp://{host}/" does not begin with http:// or https://`},
		{Config{HTTP: "http:///api/health"}, `http: "http:///api/health" names no host`},
		{Config{HTTP: "http://root:x@{host}/"}, "http: credentials belong into http_user and http_password_file"},
		{Config{HTTP: "http://{host}/{port}"}, `http: "http://{host}/{port}": only {host} is replaced`},
		{Config{Bootstrap: true}, "bootstrap: needs http, for its host and port"},
		{Config{LeaderFromMetrics: true}, "leader_from_metrics: needs http, for its host and port"},
		{Config{HTTPUser: "root"}, "http_user: needs http"},
		{Config{HTTP: health, HTTPPasswordFile: secret}, "http_password_file: needs http_user"},
		{Config{Type: "tcp", User: "probe"}, "user: type tcp can't log in"},
		{Config{PasswordFile: secret}, "password_file: needs user"},
		{Config{Query: "select 1"}, "query: needs user"},
		{Config{User: "probe", Expect: text("1")}, "expect: needs query"},
		{Config{TLS: "true"}, "tls: needs user, or an https URL in http"},
		{Config{User: "probe", TLS: secret}, "tls: " + secret + " holds no PEM certificate"},
		{Config{User: "probe", TLS: "/nonexistent/ca"}, "tls: open /nonexistent/ca: no such file or directory"},
		{Config{User: "probe", PasswordFile: "/nonexistent/p"}, "password_file: open /nonexistent/p: no such file or directory"},
		{Config{User: "probe", PasswordFile: tooLong}, "password_file: " + tooLong + " is longer than 4096 bytes"},
		{Config{SendProxy: "v3"}, `send_proxy: "v3" is neither v1 nor v2`},
		{Config{Rise: -1, Fall: -1}, "rise: must not be negative\nfall: must not be negative"},
	} {
		got := ""
		if err := test.config.Validate(); err != nil {
			got = err.Error()
			var key *KeyError
			if !errors.As(err, &key) || !strings.HasPrefix(got, key.Key+": ") {
				t.Errorf("%q names no key", got)
			}
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.config, got, test.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	got := Config{Fall: 7}.withDefaults()
	want := Config{Type: TypeMySQL, Interval: 2 * time.Second, FastInterval: 500 * time.Millisecond, Timeout: time.Second, Rise: 2, Fall: 7}
	if got != want {
		t.Errorf("%+v", got)
	}
}

func TestPeersTextIsBoundedAndPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain \"text\"": `plain "text"`,
		"\x1b[31m\n":     `\x1b[31m\n`,
		"é":              "é",
	} {
		if got := printable(in); got != want {
			t.Errorf("%q: %s", in, got)
		}
	}
	if got := quoted(strings.Repeat("é", 200)); got != `"`+strings.Repeat("é", 100)+`"…` {
		t.Errorf("%s", got)
	}
	if got := cut(strings.Repeat("x", maxQuote-1) + "é"); got != strings.Repeat("x", maxQuote-1) {
		t.Errorf("%s", got)
	}
}
