package fakefe

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"fairlead/internal/mysqlwire"
)

// mariadb runs the MariaDB command line client against an FE and returns what it printed, its errors included, and its exit
// status. Without the client the test is skipped, unless FAIRLEAD_E2E_REQUIRE=1 makes that a failure.
func mariadb(t *testing.T, fe *FE, stdin string, args ...string) (string, int) {
	t.Helper()
	program, err := exec.LookPath("mariadb")
	if err != nil {
		if os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" {
			t.Fatal(err)
		}
		t.Skip("the mariadb client is not installed")
	}
	host, port, err := net.SplitHostPort(fe.Address())
	if err != nil {
		t.Fatal(err)
	}
	// --no-defaults keeps the user's own settings out and must come first.
	args = append([]string{"--no-defaults", "--protocol=tcp", "-h" + host, "-P" + port, "-N", "-B"}, args...)
	command := exec.CommandContext(patiently(t), program, args...)
	command.Stdin = strings.NewReader(stdin)
	out, err := command.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

func TestMariadbClient(t *testing.T) {
	fe := start(t, Config{Name: "fe-a", Number: 2, Users: map[string]string{"root": "", "app": "secret"}})
	for _, test := range []struct {
		args, stdin string
		want        []string
	}{
		{"-uroot -e 'select 1'", "", []string{"1"}},
		{"-uroot -e 'select @@hostname, connection_id() >> 24'", "", nil},
		{"-uroot -e 'SELECT @@hostname, NULL;'", "", []string{"fe-a\tNULL"}},
		{"-uapp -psecret sales -e 'select database()'", "", []string{"sales"}},
		{"-uroot -e 'use sales; select database(); show databases; set names utf8mb4; select 2'", "",
			[]string{"sales", "_statistics_", "information_schema", "2"}},
		{"-uroot", "select 'from', 'stdin';\nshow tables;\nselect version();\n", []string{"from\tstdin", "8.0.33"}},
	} {
		out, status := mariadb(t, fe, test.stdin, splitArgs(test.args)...)
		if test.want == nil {
			if status != 1 || !strings.Contains(out, "ERROR 1064 (42000)") {
				t.Errorf("%s: status %d\n%s", test.args, status, out)
			}
			continue
		}
		if status != 0 || !slices.Equal(lines(out), test.want) {
			t.Errorf("%s: status %d\n%s", test.args, status, out)
		}
	}
}

func TestMariadbClientStatus(t *testing.T) {
	fe := start(t, Config{Number: 2})
	out, status := mariadb(t, fe, "status\n", "-uroot")
	if status != 0 || !strings.Contains(out, "33554433") || !strings.Contains(out, "8.0.33") || !strings.Contains(out, "StarRocks version (stand-in)") {
		t.Errorf("status %d\n%s", status, out)
	}
}

func TestMariadbClientDenied(t *testing.T) {
	fe := start(t, Config{Users: map[string]string{"app": "secret"}})
	for _, args := range [][]string{{"-uapp", "-pwrong"}, {"-uapp"}, {"-unobody"}} {
		out, status := mariadb(t, fe, "", append(args, "-e", "select 1")...)
		if status != 1 || !strings.Contains(out, "ERROR 1045 (28000): Access denied for user") {
			t.Errorf("%v: status %d\n%s", args, status, out)
		}
	}
	// Connector/C 3.3 wraps an error that comes before a greeting in one of its own, 2002.
	set(t, fe, ErrorFirst)
	if out, status := mariadb(t, fe, "", "-uapp", "-psecret", "-e", "select 1"); status != 1 || !strings.Contains(out, "1040") || !strings.Contains(out, "Too many connections") {
		t.Errorf("status %d\n%s", status, out)
	}
}

// TestMariadbClientSwitches logs in through an AuthSwitchRequest to either plugin.
func TestMariadbClientSwitches(t *testing.T) {
	users := map[string]string{"app": "secret"}
	for _, test := range []struct {
		config Config
		args   []string
	}{
		{Config{Users: users, ForceSwitch: true}, nil},
		{Config{Users: users}, []string{"--default-auth=mysql_clear_password"}},
		{Config{Users: users, AuthPlugin: mysqlwire.ClearPassword}, nil},
	} {
		fe := start(t, test.config)
		out, status := mariadb(t, fe, "", append(test.args, "-uapp", "-psecret", "-e", "select 1")...)
		if status != 0 || strings.TrimSpace(out) != "1" {
			t.Errorf("%+v: status %d\n%s", test.config, status, out)
		}
		if out, status := mariadb(t, fe, "", append(test.args, "-uapp", "-pwrong", "-e", "select 1")...); status != 1 {
			t.Errorf("%+v: status %d with a wrong password\n%s", test.config, status, out)
		}
	}
}

func TestMariadbClientLargeResult(t *testing.T) {
	fe := start(t, Config{})
	const size = 17 << 20
	out, status := mariadb(t, fe, "", "-uroot", "--max-allowed-packet=64M", "-e", "select repeat('x', 17825792)")
	if status != 0 || len(out) != size+1 || strings.Count(out, "x") != size {
		t.Errorf("status %d, %d bytes: %.200s", status, len(out), out)
	}
}

// splitArgs splits at spaces outside of single quotes, which it removes.
func splitArgs(s string) []string {
	var args []string
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}
