package config

import (
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
)

// everything gives each key a value that is not its default.
const everything = `
[admin]
listen = ["127.0.0.1:1", "127.0.0.1:2"]
socket = "/tmp/s"
socket_mode = "0600"
socket_owner = "root"
socket_group = "7"
readiness_file = "/tmp/r"
state_file = "/tmp/s"
[shutdown]
grace = "1s"
drain = "0s"
[log]
level = "debug"
format = "json"
file = "/tmp/l"
sessions = false
[engine]
kind = "goroutines"
loops = 3
pipes = 0
pipe_size = 4096
[[listener]]
name = "l"
bind = ["127.0.0.1:3", "[::1]:3"]
pool = "p"
login_timeout = "0s"
keepalive = "2s"
max_sessions = 7
roles = ["observer", "follower"]
roles_fallback = true
backlog = 8
max_sessions_per_user = 5
max_sessions_per_database = 6
allow = "10.0.0.0/8"
deny = ["10.6.6.0/24", "10.7.7.7"]
max_sessions_per_source = 20
rate = 21
rate_burst = 22
rate_per_source = 23
rate_per_source_burst = 24
accept_proxy = ["10.0.0.10"]
proxy_timeout = "25s"
proxy_from_others = "refuse"
sniff = { wait = "26ms", timeout = "27s", route = [{ protocol = "tls", pool = "raw", sni = "*.fe", alpn = ["h2"] }, { protocol = "http", pool = "raw", host = ["h"] }] }
route = [{ user = ["u", "v*"], pool = "p" }, { database = "d", program = "r*", source = ["10.0.0.0/8", "2001:db8::7"], pool = "p" }]
[[listener]]
name = "raw"
bind = "127.0.0.1:4"
pool = "raw"
[[pool]]
name = "p"
protocol = "mysql"
policy = "round-robin"
connect_timeout = "1s"
greeting_timeout = "2s"
setup_timeout = "30s"
idle_timeout = "4s"
linger = "5s"
keepalive = "6s"
max_sessions = 9
queue = 10
queue_timeout = "7s"
slow_start = "0s"
rebalance = "idle"
rebalance_spread = 5
sessions_on_down = "keep"
resolve_interval = "8s"
source = "10.0.0.1"
send_proxy = "v2"
probe = { type = "mysql", interval = "9s", fast_interval = "1s", timeout = "2s", rise = 3, fall = 4, http = "http://{host}:8030/api/health", http_user = "u", http_password_file = "/h", bootstrap = true, leader_from_metrics = true, user = "m", password_file = "/p", query = "select 1", expect = "", tls = "skip-verify", source = "10.0.0.2" }
discovery = { type = "starrocks", user = "d", password_file = "/d", tls = "true", interval = "11s", timeout = "12s", minimum = 2 }
backend = [
  { address = "fe1:9030", name = "one", weight = 2, max_sessions = 11, backup = true, role = "leader", expand = true, http = "http://{host}:8031/" },
  { address = "fe2:9030", weight = 0 },
]
[[pool]]
name = "raw"
protocol = "tcp"
discovery = { type = "dns", name = "names:1", interval = "13s", minimum = 3 }
[[pool.backend]]
address = "10.0.0.9:1"
`

func TestEveryKeyArrives(t *testing.T) {
	f, err := parse("config.toml", []byte(everything), fixed)
	if err != nil {
		t.Fatal(err)
	}
	probe := f.Probes["p"]
	if probe.Expect == nil || *probe.Expect != "" {
		t.Errorf("expect is %v", probe.Expect)
	}
	probe.Expect = nil
	for _, c := range []struct {
		what string
		got  any
		want string
	}{
		{"admin", f.Admin, "{Listen:[127.0.0.1:1 127.0.0.1:2] Socket:/tmp/s SocketMode:-rw------- SocketOwner:root SocketGroup:7 ReadinessFile:/tmp/r StateFile:/tmp/s}"},
		{"shutdown", f.Shutdown, "{Grace:1s}"},
		{"log", f.Log, "{Level:DEBUG Format:json File:/tmp/l}"},
		{"engine", f.Balancer.Engine, "{Kind:goroutines Loops:3 PipeSize:4096}"},
		{"listener", f.Balancer.Listeners[0], "{Name:l Bind:[127.0.0.1:3 [::1]:3] Pool:p Keepalive:2s MaxSessions:7 Roles:[observer follower] RolesFallback:true MaxSessionsPerUser:5 MaxSessionsPerDatabase:6 Routes:[{User:[u v*] Pool:p} {Database:[d] Program:[r*] Source:[10.0.0.0/8 2001:db8::7/128] Pool:p}] Backlog:8 " +
			"Gate:{Allow:[10.0.0.0/8] Deny:[10.6.6.0/24 10.7.7.7/32] MaxSessionsPerSource:20 Rate:21 RateBurst:22 RatePerSource:23 RatePerSourceBurst:24} " +
			"Proxy:{Accept:[10.0.0.10/32] Timeout:25s FromOthers:refuse} " +
			"Sniff:{Wait:26ms Timeout:27s Routes:[{Protocol:tls SNI:[*.fe] ALPN:[h2] Pool:raw} {Protocol:http Host:[h] Pool:raw}]}}"},
		{"raw listener", f.Balancer.Listeners[1], "{Name:raw Bind:[127.0.0.1:4] Pool:raw Keepalive:1m0s Backlog:4096 Gate:{} Proxy:{Timeout:3s FromOthers:plain} Sniff:{Wait:50ms Timeout:5s}}"},
		{"pool", f.Balancer.Pools[0], "{Name:p Protocol:mysql Policy:round-robin ConnectTimeout:1s GreetingTimeout:2s SetupTimeout:30s IdleTimeout:4s Linger:5s Keepalive:6s MaxSessions:9 Queue:10 QueueTimeout:7s SessionsOnDown:keep Rebalance:idle RebalanceSpread:5 ResolveInterval:8s Source:10.0.0.1 SendProxy:v2 Minimum:2 Discovered:true LearnsRoles:true Backends:[{Address:fe1:9030 Name:one Weight:2 MaxSessions:11 Backup:true Role:leader Expand:true HTTP:http://{host}:8031/} {Address:fe2:9030}]}"},
		{"probe", probe, "{Type:mysql Interval:9s FastInterval:1s Timeout:2s Rise:3 Fall:4 HTTP:http://{host}:8030/api/health HTTPUser:u HTTPPasswordFile:/h Bootstrap:true LeaderFromMetrics:true User:m PasswordFile:/p Query:select 1 TLS:skip-verify SendProxy:v2 Source:10.0.0.2}"},
		{"discovery", f.Discoveries["p"].Type, "starrocks"},
		{"seeds", f.Discoveries["p"].Seeds, "{Interval:11s Timeout:12s User:d PasswordFile:/d TLS:true SendProxy:v2 Source:10.0.0.2}"},
		{"raw discovery", f.Discoveries["raw"].Type + " " + f.Discoveries["raw"].Name, "dns names:1"},
		{"raw minimum", f.Balancer.Pools[1].Minimum, "3"},
		{"raw resolve_interval", f.Balancer.Pools[1].ResolveInterval, "13s"},
		{"raw backends", f.Balancer.Pools[1].Backends, "[{Address:10.0.0.9:1 Weight:1} {Address:names:1 Weight:1 Expand:true}]"},
		{"raw probe", f.Probes["raw"].Type, "tcp"},
	} {
		if got := set(c.got); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.what, got, c.want)
		}
	}
}

// zeroField is a field of a struct, as %+v prints it, that is not set.
var zeroField = regexp.MustCompile(` ?\b\w+:(?:0|0s|false|\[\]|<nil>|)([ }])`)

// set prints what is set in a value: fields that a file says nothing of don't matter.
func set(v any) string {
	text := fmt.Sprintf("%+v", v)
	for was := ""; was != text; {
		was, text = text, zeroField.ReplaceAllString(text, "$1")
	}
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("{ ", "{", " }", "}").Replace(text)
}

// TestSmallIntervals: a short interval alone shortens fast_interval's default too.
func TestSmallIntervals(t *testing.T) {
	f, err := parse("config.toml", []byte(withProbe(`interval = "100ms"`)), fixed)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Probes["fe"].FastInterval; got != 100*time.Millisecond {
		t.Errorf("fast_interval is %v", got)
	}
}

// TestForeignEditors: line ends of Windows and a byte order mark change nothing.
func TestForeignEditors(t *testing.T) {
	text := "\xef\xbb\xbf" + strings.ReplaceAll(minimal, "\n", "\r\n")
	if _, err := parse("config.toml", []byte(text), fixed); err != nil {
		t.Error(err)
	}
	_, err := parse("config.toml", []byte(text+"wieght = 2\r\n"), fixed)
	want := `config.toml:10: unknown key "wieght" in [[pool.backend]]: did you mean "weight"?`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLogLevels(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		f, err := parse("config.toml", fmt.Appendf(nil, "%s[log]\nlevel = %q\n", minimal, text), fixed)
		if err != nil || f.Log.Level != want {
			t.Errorf("%s: %v, %v", text, f, err)
		}
	}
}

func TestGuessDuration(t *testing.T) {
	for text, want := range map[string]string{
		"2": "2s", "1.5": "1.5s", "2 s": "2s", "2 sec": "2s", "10 minutes": "10m", "1 Day": "24h", "0.5d": "12h", "500 millis": "500ms",
		"1m 30s": "1m30s", "-1": "-1s", "soon": "", "2 parsecs": "", "": "",
	} {
		got, ok := guessDuration(text)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if _, err := time.ParseDuration(got); got != "" && err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
