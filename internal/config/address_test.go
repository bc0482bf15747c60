package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	sockaddr "github.com/hashicorp/go-sockaddr"
)

func listenOn(bind string) string {
	return strings.Replace(minimal, `bind = "127.0.0.1:9030"`, "bind = "+bind, 1)
}

// TestListenAddresses: what a bind stands for, on a machine with 10.0.0.1, 10.0.0.2 and 2001:db8::1.
func TestListenAddresses(t *testing.T) {
	for bind, want := range map[string]string{
		`"127.0.0.1:9030"`:                         "[127.0.0.1:9030]",
		`"127.0.0.1:0"`:                            "[127.0.0.1:0]",
		`":9030"`:                                  "[[::]:9030]",
		`"[::ffff:10.0.0.1]:9030"`:                 "[10.0.0.1:9030]",
		`["127.0.0.1:9030", "[::1]:9030"]`:         "[127.0.0.1:9030 [::1]:9030]",
		`'{{ . | join "address" " " }}:9030'`:      "[10.0.0.1:9030 10.0.0.2:9030 [2001:db8::1]:9030]",
		`'{{ . | join "address" " " }} :9030'`:     "[10.0.0.1:9030 10.0.0.2:9030 [2001:db8::1]:9030]",
		`'{{ . | join "address" ":9031 " }}:9030'`: "[10.0.0.1:9031 10.0.0.2:9031 [2001:db8::1]:9030]",
		`'{{ . | include "type" "IPv4" | join "address" ":9031 " }}:9030'`:                "[10.0.0.1:9031 10.0.0.2:9030]",
		`['{{ . | limit 1 | attr "address" }}:9030', "127.0.0.1:9030"]`:                   "[10.0.0.1:9030 127.0.0.1:9030]",
		`'[{{ . | include "type" "IPv6" | limit 1 | attr "address" }}]:9030'`:             "[[2001:db8::1]:9030]",
		`'{{ . | include "type" "IPv4" | limit 1 | attr "address" }}:{{ "90" }}{{ 30 }}'`: "[10.0.0.1:9030]",
	} {
		t.Run(bind, func(t *testing.T) {
			f, err := parse("config.toml", []byte(listenOn(bind)), fixed)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(f.Balancer.Listeners[0].Bind); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			for i, l := range f.ListenAddresses()[1:] {
				if l.Address != f.Balancer.Listeners[0].Bind[i] || l.Owner != `listener "mysql"` || l.Line != 4 {
					t.Errorf("address to listen on %d: %+v", i, l)
				}
			}
		})
	}
}

// TestTemplatesOfThisMachine fills a template with the addresses that are really here.
func TestTemplatesOfThisMachine(t *testing.T) {
	template := `'{{ GetAllInterfaces | include "type" "IPv4" | include "address" "127.0.0.1" | limit 1 | attr "address" }}`
	text := strings.Replace(listenOn(template+":9030'"), "[[pool.backend]]", "source = "+template+"'\n[[pool.backend]]", 1)
	f, err := Parse("config.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Balancer.Listeners[0].Bind[0].String(); got != "127.0.0.1:9030" {
		t.Errorf("listening on %s", got)
	}
	if got := f.Balancer.Pools[0].Source.String(); got != "127.0.0.1" {
		t.Errorf("source %s", got)
	}
	if got := f.Probes["fe"].Source.String(); got != "127.0.0.1" {
		t.Errorf("the probe does not come from the pool's source, but from %s", got)
	}
}

func TestNoInterfaces(t *testing.T) {
	broken := host{interfaces: func() (sockaddr.IfAddrs, error) { return nil, errors.New("no netlink") }}
	_, err := parse("config.toml", []byte(listenOn(`'{{ GetPrivateIP }}:9030'`)), broken)
	want := `config.toml:4: bind: the template "{{ GetPrivateIP }}" can't be filled in: no netlink`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAdminListen(t *testing.T) {
	for listen, want := range map[string]string{
		"":                                       "[127.0.0.1:9090]",
		`listen = ""`:                            "[]",
		`listen = []`:                            "[]",
		`listen = ["10.0.0.1:80", "[::1]:9090"]`: "[10.0.0.1:80 [::1]:9090]",
	} {
		f, err := parse("config.toml", []byte(minimal+"[admin]\n"+listen+"\n"), fixed)
		if err != nil {
			t.Errorf("%s: %v", listen, err)
			continue
		}
		if got := fmt.Sprint(f.Admin.Listen); got != want {
			t.Errorf("%s: got %s, want %s", listen, got, want)
		}
		if n := len(f.ListenAddresses()); n != len(f.Admin.Listen)+1 {
			t.Errorf("%s: %d addresses to listen on", listen, n)
		}
	}
}

func TestListenAddressFailed(t *testing.T) {
	f, err := parse("config.toml", []byte(minimal), fixed)
	if err != nil {
		t.Fatal(err)
	}
	inUse := errors.New("address already in use")
	err = f.ListenAddresses()[1].Failed(inUse)
	want := `config.toml:4: listener "mysql" can't listen on 127.0.0.1:9030: address already in use`
	if err.Error() != want || !errors.Is(err, inUse) {
		t.Errorf("got %v, want %s", err, want)
	}
}
