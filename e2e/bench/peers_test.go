//go:build linux

package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

var exampleRoute = route{Protocol: mysql, Listen: netip.MustParseAddrPort("127.0.0.1:20001"),
	Backend: netip.MustParseAddrPort("127.0.0.11:20002")}

func writtenConfig(t *testing.T, name string, write func(surroundings) (string, error)) string {
	t.Helper()
	file, err := write(surroundings{Dir: t.TempDir(), Threads: 3, Limit: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.1:20001", "127.0.0.11:20002"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: no %s in\n%s", name, want, text)
		}
	}
	return string(text)
}

func TestFairleadConfigIsTOML(t *testing.T) {
	text := writtenConfig(t, "fairlead", func(s surroundings) (string, error) {
		return writeConfig(fairleadConfig, exampleRoute, s)
	})
	var file struct {
		Listener []struct{ Bind, Pool string }
		Pool     []struct {
			Name, Protocol string
			Probe          struct{ Type string }
			Backend        []struct{ Address string }
		}
	}
	if _, err := toml.Decode(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Listener) != 1 || len(file.Pool) != 1 || file.Listener[0].Pool != file.Pool[0].Name {
		t.Fatalf("%+v", file)
	}
	if p := file.Pool[0]; p.Protocol != "mysql" || p.Probe.Type != "mysql" || len(p.Backend) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestPeerConfigsHaveThreadsAndOptions(t *testing.T) {
	haproxy := writtenConfig(t, "haproxy", func(s surroundings) (string, error) {
		return writeConfig(haproxyConfig, exampleRoute, s, "option splice-auto")
	})
	for _, want := range []string{"nbthread 3", "option splice-auto", "maxconn 9600"} {
		if !strings.Contains(haproxy, want) {
			t.Errorf("no %q in\n%s", want, haproxy)
		}
	}
	nginx := writtenConfig(t, "nginx", func(s surroundings) (string, error) {
		return writeConfig(nginxConfig, exampleRoute, s, "load_module x;")
	})
	for _, want := range []string{"worker_processes 3;", "load_module x;", "worker_connections 20000;"} {
		if !strings.Contains(nginx, want) {
			t.Errorf("no %q in\n%s", want, nginx)
		}
	}
}

func TestStreamModule(t *testing.T) {
	if line, err := streamModule([]byte("configure arguments: --with-stream --with-debug")); err != nil || line != "" {
		t.Errorf("built in: %q, %v", line, err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "ngx_stream_module.so")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	about := "configure arguments: --modules-path=" + dir + " --with-stream=dynamic"
	if line, err := streamModule([]byte(about)); err != nil || line != "load_module "+file+";" {
		t.Errorf("as a module: %q, %v", line, err)
	}
}

func TestFindPeersLeavesOutWhatIsAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := lookUp("no-such-proxy"); !errors.Is(err, errAbsent) {
		t.Errorf("%v", err)
	}
	found, absent, err := findPeers(t.Context(), []string{copyName}, "")
	if err != nil || len(found) != 1 || len(absent) != 0 {
		t.Errorf("%v, %v, %v", found, absent, err)
	}
	if _, _, err := findPeers(t.Context(), []string{"squid"}, ""); err == nil {
		t.Error("no error for an unknown name")
	}
}

func TestMostSessions(t *testing.T) {
	for _, c := range []struct{ limit, each, want int }{{20_000, 0, 9600}, {20_000, 6, 3200}, {100, 2, 1}} {
		if got := mostSessions(c.limit, c.each); got != c.want {
			t.Errorf("%d descriptors at %d each: %d sessions, want %d", c.limit, c.each, got, c.want)
		}
	}
}
