package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/probe"
)

func withDiscovery(pool, discovery string) string {
	return strings.Replace(minimal, "[[pool.backend]]", pool+"[pool.discovery]\n"+discovery+"[[pool.backend]]", 1)
}

// TestDiscoveryTLS: seeds are asked as backends are probed, unless the file says otherwise.
func TestDiscoveryTLS(t *testing.T) {
	const seeds = "type = \"starrocks\"\nuser = \"monitor\"\n"
	for text, want := range map[string]string{
		withDiscovery("", seeds): "",
		withDiscovery("[pool.probe]\nuser = \"m\"\ntls = \"true\"\n", seeds):                                                     "true",
		withDiscovery("[pool.probe]\nuser = \"m\"\ntls = \"true\"\n", seeds+"tls = \"false\"\n"):                                 "false",
		withDiscovery("[pool.probe]\nuser = \"m\"\ntls = \"true\"\n", seeds+"tls = \"ca.pem\"\n"):                                "/etc/fairlead/ca.pem",
		withDiscovery("[pool.probe]\nhttp = \"https://{host}:8443/\"\ntls = \"skip-verify\"\n", seeds):                           "", // that is for the URL
		withDiscovery("[pool.probe]\nhttp = \"https://{host}:8443/\"\ntls = \"skip-verify\"\n", seeds+"tls = \"skip-verify\"\n"): "skip-verify",
	} {
		f, err := parse("/etc/fairlead/config.toml", []byte(text), fixed)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if got := f.Discoveries["fe"].Seeds.TLS; got != want {
			t.Errorf("%s\ntls is %q, want %q", text, got, want)
		}
	}
}

// TestDiscoveryByNameAlone: a pool needs no backend then.
func TestDiscoveryByNameAlone(t *testing.T) {
	text := strings.Replace(minimal, "[[pool.backend]]\naddress = ", "[pool.discovery]\ntype = \"dns\"\nname = ", 1)
	f, err := parse("config.toml", []byte(text), fixed)
	if err != nil {
		t.Fatal(err)
	}
	pool := f.Balancer.Pools[0]
	if len(pool.Backends) != 1 || pool.Backends[0] != (balancer.BackendConfig{Address: "fe1:9030", Weight: 1, Expand: true}) ||
		pool.ResolveInterval != 10*time.Second || pool.Minimum != 1 || pool.LearnsRoles {
		t.Errorf("the pool is %+v", pool)
	}
}

// TestDiscoveryOff: an empty type switches off what stands beside it.
func TestDiscoveryOff(t *testing.T) {
	f, err := parse("config.toml", []byte(withDiscovery("", "type = \"\"\nuser = \"monitor\"\nminimum = 3\n")), fixed)
	if err != nil {
		t.Fatal(err)
	}
	if pool := f.Balancer.Pools[0]; len(f.Discoveries) != 0 || pool.Minimum != 0 || pool.LearnsRoles {
		t.Errorf("%v, %+v", f.Discoveries, pool)
	}
}

// TestRolesThatAreLearnt: what can be told may be asked for.
func TestRolesThatAreLearnt(t *testing.T) {
	metrics := "[pool.probe]\nhttp = \"http://{host}:8030/\"\nleader_from_metrics = true\n"
	for name, text := range map[string]string{
		"discovery":              withDiscovery("", "type = \"starrocks\"\nuser = \"monitor\"\n"),
		"discovery and metrics":  withDiscovery(metrics, "type = \"starrocks\"\nuser = \"monitor\"\n"),
		"metrics and the file":   strings.Replace(minimal, "[[pool.backend]]", metrics+"[[pool.backend]]\nrole = \"follower\"", 1),
		"the file alone":         minimal + "role = \"leader\"\n[[pool.backend]]\naddress = \"fe2:9030\"\nrole = \"follower\"\n",
		"metrics of one backend": strings.Replace(minimal, "[[pool.backend]]", "[pool.probe]\nleader_from_metrics = true\n[[pool.backend]]\nrole = \"follower\"\nhttp = \"http://{host}:8030/\"", 1),
	} {
		text = strings.Replace(text, "pool = \"fe\"", "pool = \"fe\"\nroles = [\"leader\", \"follower\"]", 1)
		if _, err := parse("config.toml", []byte(text), fixed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDiscoveryFiles: Load reads the seeds' secrets too, and tells of each file once.
func TestDiscoveryFiles(t *testing.T) {
	seeds := "type = \"starrocks\"\nuser = \"monitor\"\npassword_file = \"secret\"\n"
	for name, c := range map[string]struct {
		text, want string
		mode       os.FileMode
	}{
		"right":     {withDiscovery("", seeds), "", 0o600},
		"missing":   {withDiscovery("", strings.Replace(seeds, "secret", "gone", 1)), "config.toml:11: password_file: open DIR/gone: no such file or directory", 0o600},
		"everybody": {withDiscovery("", seeds), "config.toml:11: password_file: everyone on this machine can read DIR/secret (mode 0644): chmod 600 DIR/secret", 0o644},
		"tls of the probe": {withDiscovery("[pool.probe]\nuser = \"m\"\ntls = \"ca.pem\"\n", seeds),
			"config.toml:10: tls: open DIR/ca.pem: no such file or directory", 0o600},
		"tls": {withDiscovery("", seeds+"tls = \"ca.pem\"\n"), "config.toml:12: tls: open DIR/ca.pem: no such file or directory", 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "secret", "geheim\n", c.mode)
			path := write(t, dir, "config.toml", c.text, 0o600)
			f, err := Load(path)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = Errors(f.Warnings).Error()
			}
			got = strings.ReplaceAll(strings.ReplaceAll(got, path, "config.toml"), dir, "DIR")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if err == nil && f.Discoveries["fe"].Seeds.PasswordFile != filepath.Join(dir, "secret") {
				t.Errorf("the password is sought in %s", f.Discoveries["fe"].Seeds.PasswordFile)
			}
		})
	}
}

// TestBackendHTTP: keys that go with the health check may go with a backend's own.
func TestBackendHTTP(t *testing.T) {
	text := strings.Replace(minimal, "[[pool.backend]]", "[pool.probe]\ntype = \"http\"\nbootstrap = true\n[[pool.backend]]", 1) +
		"http = \"http://{host}:8031/api/health\"\n"
	path := write(t, t.TempDir(), "config.toml", text, 0o600)
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Probes["fe"]; got.HTTP != "" || got.Type != probe.TypeHTTP || f.Balancer.Pools[0].Backends[0].HTTP != "http://{host}:8031/api/health" {
		t.Errorf("the probe is %+v, the backends are %+v", got, f.Balancer.Pools[0].Backends)
	}
}
