package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vipPath = "keepalived/keepalived.conf"

// checkVIP lets keepalived read a configuration where there is an eth0.
func checkVIP(t *testing.T, path string) (string, error) {
	t.Helper()
	// A process group of its own, as keepalived may end the one that it is in.
	return try(t, required(t, "setsid"), "--wait", required(t, "unshare"), "--net", "/bin/sh", "-c",
		`ip link add eth0 type veth peer name eth1 && exec "$0" --config-test --log-console --use-file "$1"`, required(t, "keepalived"), path)
}

// TestVIP: keepalived has nothing to object to; and it would object if there were something.
func TestVIP(t *testing.T) {
	required(t, "keepalived")
	if os.Geteuid() != 0 {
		if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
			t.Fatal("needs root, and FAIRLEAD_E2E_REQUIRE=1 wants everything")
		}
		t.Skip("needs root")
	}
	run := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(run, 0o755); err != nil {
		t.Fatal(err)
	}
	// Version 2.2.7 ends itself after it has looked at a script of another user than its own.
	here := []string{"/run/fairlead-vip", run, "script_user nobody", "script_user root", "/usr/bin/curl", "/bin/true"}
	if text, err := checkVIP(t, replaced(t, vipPath, t.TempDir(), here...)); err != nil || strings.TrimSpace(text) != "" {
		t.Errorf("%v\n%s", err, text)
	}
	for name, fault := range map[string][]string{
		"a fraction in version 2": {"vrrp_version 3", "vrrp_version 2"},
		"a typing error":          {"nopreempt\n", "nopreemt\n"},
	} {
		if text, err := checkVIP(t, replaced(t, vipPath, t.TempDir(), append(fault, here...)...)); err == nil && strings.TrimSpace(text) == "" {
			t.Errorf("%s: keepalived finds nothing", name)
		}
	}
}

// TestVIPFitsTheUnit: what keepalived watches is what the unit, tmpfiles and ExecStopPost write.
func TestVIPFitsTheUnit(t *testing.T) {
	const file = "/run/fairlead-vip/readiness"
	for _, path := range []string{vipPath, unitPath, "systemd/fairlead.tmpfiles.conf", "keepalived/README.md", "systemd/README.md"} {
		if !strings.Contains(read(t, path), file) {
			t.Errorf("%s does not name %s", path, file)
		}
	}
}
