package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const unitPath = "systemd/fairlead.service"

// mostExposure is the worst grade that "systemd-analyze security" may give, of 100; a unit without any hardening has 96.
const mostExposure = "20"

func TestUnitVerifies(t *testing.T) {
	analyze := required(t, "systemd-analyze")
	// The program need not be installed here, but must be there.
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	unit := replaced(t, unitPath, t.TempDir(), "/usr/local/bin/fairlead", program)
	if text := output(t, analyze, "verify", "--man=no", unit); strings.Contains(text, "fairlead.service") {
		t.Errorf("systemd-analyze verify has something to say:\n%s", text)
	}
}

func TestUnitIsHardened(t *testing.T) {
	analyze := required(t, "systemd-analyze")
	if text, _ := try(t, analyze, "security", "--help"); !strings.Contains(text, "--offline") {
		t.Skip("this systemd-analyze can't judge a unit that is not installed")
	}
	output(t, analyze, "security", "--offline=true", "--threshold="+mostExposure, unitPath)
}

// TestUnitAllowsSystemCalls: the filter lets through what the event loops live on.
func TestUnitAllowsSystemCalls(t *testing.T) {
	analyze := required(t, "systemd-analyze")
	listed := func(set string) map[string]bool {
		calls := map[string]bool{}
		for _, name := range systemCalls(t, analyze, set) {
			calls[name] = true
		}
		return calls
	}
	allowed, forbidden := listed("@system-service"), listed("@privileged")
	for name := range listed("@resources") {
		forbidden[name] = true
	}
	for _, name := range []string{"accept4", "bind", "clone", "connect", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "fcntl",
		"fstat", "futex", "getrandom", "getsockname", "listen", "madvise", "mmap", "nanosleep", "newfstatat", "openat", "pidfd_open",
		"pipe2", "prlimit64", "pwrite64", "ftruncate", "rt_sigaction", "sched_getaffinity", "setsockopt", "shutdown", "sigaltstack",
		"socket", "splice", "tgkill", "fchmod", "fchmodat", "unlinkat", "execve", "sendmsg", "recvmsg",
		"fsync", "renameat", "socketpair", "dup3", "wait4", "waitid", "kill", "pidfd_send_signal", "clock_gettime"} {
		if !allowed[name] || forbidden[name] {
			t.Errorf("the unit's filter forbids %s", name)
		}
	}
}

// TestStateDirectory: where people are told to keep the orders, the unit lets them be kept.
func TestStateDirectory(t *testing.T) {
	m := regexp.MustCompile(`(?m)^StateDirectory=(\S+)$`).FindStringSubmatch(read(t, unitPath))
	if m == nil {
		t.Fatal("the unit has no StateDirectory=: ProtectSystem=strict leaves no place for a state file")
	}
	for _, path := range []string{unitPath, "systemd/README.md", "../config.toml.example", "../README.md"} {
		places := regexp.MustCompile("/var/lib/[^\"` ]+").FindAllString(read(t, path), -1)
		if len(places) == 0 {
			t.Errorf("%s does not tell where the state file may be", path)
		}
		for _, place := range places {
			if filepath.Dir(place) != "/var/lib/"+m[1] && place != "/var/lib/"+m[1] {
				t.Errorf("%s names %s, which is not below /var/lib/%s", path, place, m[1])
			}
		}
	}
}

// systemCalls lists a set of system calls, with those of the sets in it.
func systemCalls(t *testing.T, analyze, set string) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(output(t, analyze, "syscall-filter", "--no-pager", set)) {
		switch name := strings.TrimSpace(line); {
		case name == "" || name == set || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			all = append(all, systemCalls(t, analyze, name)...)
		default:
			all = append(all, name)
		}
	}
	return all
}

// TestStopPost runs what the unit runs after each end.
func TestStopPost(t *testing.T) {
	m := regexp.MustCompile(`(?m)^ExecStopPost=-/bin/sh -c '(.*)'$`).FindStringSubmatch(read(t, unitPath))
	if m == nil {
		t.Fatal("the unit has no ExecStopPost that this test understands")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "readiness")
	command := strings.ReplaceAll(m[1], "/run/fairlead-vip", dir)
	output(t, "/bin/sh", "-c", command)
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is made where there is none")
	}
	for _, before := range []string{"0\n", "-254\n"} {
		if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
			t.Fatal(err)
		}
		output(t, "/bin/sh", "-c", command)
		if got := read(t, path); got != "-254\n" {
			t.Errorf("%q became %q", before, got)
		}
	}
}

// TestReadinessFileOfBoot: systemd-tmpfiles makes the file, says no in it, and never touches it again.
func TestReadinessFileOfBoot(t *testing.T) {
	tmpfiles := required(t, "systemd-tmpfiles")
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	// The group is not there where systemd-sysusers did not run.
	config := replaced(t, "systemd/fairlead.tmpfiles.conf", dir, "/run/fairlead-vip", filepath.Join(dir, "vip"), "root fairlead-vip", "root root")
	file := filepath.Join(dir, "vip", "readiness")
	output(t, tmpfiles, "--create", config)
	if got := strings.TrimSpace(read(t, file)); got != "-254" {
		t.Errorf("the file is made with %q", got)
	}
	if err := os.WriteFile(file, []byte("0\n"), 0o664); err != nil {
		t.Fatal(err)
	}
	output(t, tmpfiles, "--create", config)
	if got := read(t, file); got != "0\n" {
		t.Errorf("what a fairlead that runs had written became %q", got)
	}
	if sysusers := required(t, "systemd-sysusers"); sysusers != "" {
		output(t, sysusers, "--root="+t.TempDir(), "--dry-run", mustAbs(t, "systemd/fairlead.sysusers.conf"))
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}
