package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/fakefe"
)

// loginClient is a client program that logs in, and prints server, user, database, a sum and a length, or what went wrong.
type loginClient struct {
	name string
	// pack is the package that it comes with. Without it the client is left out, unless .ci/run installs it.
	pack string
	// there is a command that succeeds where the client is installed.
	there []string
	// command is followed by host, port, user, password and database.
	command []string
}

// loginClients are those that moved logins are tested with, beside the driver of this program.
var loginClients = []loginClient{
	{"PyMySQL", "python3-pymysql", []string{"/usr/bin/python3", "-c", "import pymysql"}, []string{"/usr/bin/python3", "testdata/login.py"}},
	{"mysqlnd", "php-mysql", []string{"php", "-r", "exit(extension_loaded('mysqli') ? 0 : 1);"}, []string{"php", "testdata/login.php"}},
	{"DBD::mysql", "libdbd-mysql-perl", []string{"/usr/bin/perl", "-e", "use DBD::mysql"}, []string{"/usr/bin/perl", "testdata/login.pl", "mysql"}},
	{"DBD::MariaDB", "libdbd-mariadb-perl", []string{"/usr/bin/perl", "-e", "use DBD::MariaDB"}, []string{"/usr/bin/perl", "testdata/login.pl", "MariaDB"}},
	{"mysql2", "mysql2", []string{"node", "-e", "require('mysql2')"}, []string{"node", "testdata/login.js"}}, // NODE_PATH names its place
	{"Connector/J", "libmariadb-java", []string{"javac", "-cp", connectorJ, "-d", classes, "testdata/Login.java"},
		[]string{"java", "-XX:TieredStopAtLevel=1", "-cp", connectorJ + ":" + classes, "Login"}},
}

const (
	connectorJ = "/usr/share/java/mariadb-java-client.jar"
	classes    = "CLASSES" // stands for a directory that goes with the test
)

// with is the client with a directory for its classes.
func (c loginClient) with(dir string) loginClient {
	for _, command := range []*[]string{&c.there, &c.command} {
		*command = strings.Split(strings.ReplaceAll(strings.Join(*command, "\x00"), classes, dir), "\x00")
	}
	return c
}

// run logs in.
func (c loginClient) run(t *testing.T, address, user, password, database string) outcome {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return execute(t, append(c.command[:len(c.command):len(c.command)], host, port, user, password, database))
}

// installed skips a test of a client that is not there.
func (c loginClient) installed(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath(c.there[0]); err == nil && execute(t, c.there).code == 0 {
		return
	}
	list, err := os.ReadFile("../.ci/run")
	if err == nil && os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1" && strings.Contains(string(list), c.pack) {
		t.Fatalf("%s is not installed, and .ci/run lists %s", c.name, c.pack)
	}
	t.Skipf("%s (%s) is not installed", c.name, c.pack)
}

// execute runs a program to its end.
func execute(t *testing.T, command []string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // a JVM compiles first
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// routed is a configuration with two pools, fe and etl, of one server each, and routes between them.
func routed(routes string, fe, etl string) string {
	text := "[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n" + routes
	for pool, address := range map[string]string{"fe": fe, "etl": etl} {
		text += fmt.Sprintf("[[pool]]\nname = %q\n%s[[pool.backend]]\nname = %q\naddress = %q\n", pool, fast, "of-"+pool, address)
	}
	return text
}

// startTwoSorts starts two MariaDB servers. The first one knows appUser; the second one etl, empty and signed, who use one
// method of authentication each, and a database etl that the first lacks.
func startTwoSorts(t *testing.T) (fe, etl *mariaDB, methods []string) {
	t.Helper()
	servers := startMariaDBs(t, 2)
	fe, etl = servers[0], servers[1]
	root := openDB(t, "root@unix("+etl.socket()+")/")
	for _, statement := range []string{"create database etl", "create user etl@'%' identified by 'load'", "grant all on etl.* to etl@'%'",
		"create user empty@'%' identified by ''", "grant all on etl.* to empty@'%'"} {
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	methods = []string{"etl", "empty"}
	if _, err := root.ExecContext(t.Context(), "install soname 'auth_ed25519'"); err == nil {
		for _, statement := range []string{"create user signed@'%' identified via ed25519 using password('load')", "grant all on etl.* to signed@'%'"} {
			if _, err := root.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		methods = append(methods, "signed")
	}
	root.Close()
	return fe, etl, methods
}

// TestMovedLogins: programs of many kinds get to the server that is theirs, and hear its own words.
func TestMovedLogins(t *testing.T) {
	fe, etl, _ := startTwoSorts(t)
	p := start(t, routed("[[listener.route]]\nuser = [\"etl\", \"empty\", \"nobody\"]\npool = \"etl\"\n", fe.address(), etl.address()))
	address := p.address("mysql")
	for _, c := range loginClients {
		t.Run(c.name, func(t *testing.T) {
			c = c.with(t.TempDir())
			c.installed(t)
			c.run(t, address, "etl", "load", "etl").wants(t, 0, "2 etl@% etl 42 100000\n", "")
			c.run(t, address, "empty", "", "etl").wants(t, 0, "2 empty@% etl 42 100000\n", "")
			c.run(t, address, appUser, appPassword, "sales").wants(t, 0, "1 app@% sales 42 100000\n", "")
			for _, wrong := range [][3]string{{"etl", "wrong", "etl"}, {"etl", "", "etl"}, {"nobody", "load", "etl"}, {"etl", "load", "sales"}} {
				direct := c.run(t, etl.address(), wrong[0], wrong[1], wrong[2])
				moved := c.run(t, address, wrong[0], wrong[1], wrong[2])
				if said := strings.ReplaceAll(moved.stderr, address, etl.address()); (moved.code == 0) != (direct.code == 0) || moved.code == 0 ||
					!strings.Contains(said, "denied for user") || withoutNumbers(said) != withoutNumbers(direct.stderr) {
					t.Errorf("%v: status %d\n%s\nstraight: status %d\n%s", wrong, moved.code, said, direct.code, direct.stderr)
				}
			}
		})
	}
	t.Run("session log", func(t *testing.T) {
		db := openDB(t, "etl:load@tcp("+address+")/etl")
		c := connect(t, db)
		id := ask(t, c, "select connection_id()")
		c.Close()
		db.Close()
		r := p.sessionOf(id)
		if r["user"] != "etl" || r["pool"] != "etl" || r["backend"] != "of-etl" || !orderly(r) {
			t.Errorf("the session's line is %v", r)
		}
	})
	m := p.metrics()
	if m[`fairlead_logins_moved_total{listener="mysql"}`] == "" || strings.Contains(fmt.Sprint(m), "logins_not_moved_total") {
		t.Errorf("moved: %s", m[`fairlead_logins_moved_total{listener="mysql"}`])
	}
}

// withoutNumbers leaves out what differs from one connection to the next: connection ids, line numbers.
func withoutNumbers(text string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, text)
}

// TestMovedLoginsOfTheCommandLine compares what the MariaDB client gets when its login is moved with what it gets straight
// from the server: every method of authentication, compression, TLS.
func TestMovedLoginsOfTheCommandLine(t *testing.T) {
	required(t, "mariadb")
	fe, etl, methods := startTwoSorts(t)
	p := start(t, routed("[[listener.route]]\nuser = [\"etl\", \"empty\", \"signed\", \"nobody\"]\npool = \"etl\"\n", fe.address(), etl.address()))
	address := p.address("mysql")
	for _, user := range methods {
		password := "-pload"
		if user == "empty" {
			password = "--password="
		}
		for _, arguments := range [][]string{
			{"etl", "-e", "select @@server_id, current_user(), database()"},
			{"--compress", "etl", "-e", "select @@server_id, repeat('x', 1000000)"},
			{"etl", "-e", "create or replace table t (a int primary key, b json); insert into t values (1, '{}'), (2, null); update t set a = a + 5; select * from t; drop table t"},
			{"etl", "-e", "delimiter //\nbegin not atomic select 1; select 2; end//"},
			{"-pwrong", "etl", "-e", "select 1"},
			{"--default-auth=mysql_clear_password", "etl", "-e", "select @@server_id"},
			{"nowhere", "-e", "select 1"},
			{"sales", "-e", "select 1"},
			{"--column-type-info", "etl", "-e", "select 1, 'x'"},
		} {
			arguments = append([]string{"-u" + user, password}, arguments...)
			direct, moved := mariadbClient(t, etl.address(), arguments...), mariadbClient(t, address, arguments...)
			if direct != moved {
				t.Errorf("%.120q:\nmoved: %d %.300q %q\nstraight: %d %.300q %q", arguments, moved.code, moved.stdout, moved.stderr, direct.code, direct.stdout, direct.stderr)
			}
		}
	}
	if got := p.metrics()[`fairlead_logins_moved_total{listener="mysql"}`]; got != fmt.Sprint(9*len(methods)) {
		t.Errorf("%s were moved", got)
	}
}

// TestMovedLoginsByDatabaseAndProgram, and what happens when the right server is gone.
func TestMovedLoginsByDatabaseAndProgram(t *testing.T) {
	fe := startFE(t, fakefe.Config{Name: "fe", Users: map[string]string{"root": "", "ann": "one"}})
	etl := startFE(t, fakefe.Config{Name: "etl", Users: map[string]string{"root": "", "ann": "two"}, AuthPlugin: "mysql_clear_password"})
	p := start(t, routed(`
[[listener.route]]
database = "sales"
program = "night*"
source = "127.0.0.0/8"
pool = "etl"
`, fe.Address(), etl.Address()))
	address := p.address("mysql")
	for dsn, want := range map[string]string{
		"ann:two@tcp(" + address + ")/sales?allowCleartextPasswords=true&connectionAttributes=program_name:nightly": "etl",
		"ann:one@tcp(" + address + ")/sales?connectionAttributes=program_name:daily":                                "fe",
		"ann:one@tcp(" + address + ")/?connectionAttributes=program_name:nightly":                                   "fe",
		"root@tcp(" + address + ")/sales?allowCleartextPasswords=true&connectionAttributes=program_name:nightly":    "etl",
	} {
		if got := ask(t, openDB(t, dsn), "select @@hostname"); got != want {
			t.Errorf("%s: %s", dsn, got)
		}
	}
	if err := etl.Set(fakefe.Kill); err != nil {
		t.Fatal(err)
	}
	_, err := tryAsk(t, openDB(t, "ann:two@tcp("+address+")/sales?connectionAttributes=program_name:nightly"), "select 1")
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != 1040 || !strings.Contains(refused.Message, `pool "etl"`) {
		t.Errorf("with the right server gone: %v", err)
	}
	if got := ask(t, openDB(t, "ann:one@tcp("+address+")/sales"), "select @@hostname"); got != "fe" {
		t.Errorf("the others: %s", got)
	}
}

// TestKillCommand ends a session that the command sessions lists.
func TestKillCommand(t *testing.T) {
	p := start(t, inFront(startFE(t, fakefe.Config{})))
	c := connect(t, p.open("mysql"))
	id := ask(t, c, "select connection_id()")
	listed := p.command("sessions").stdout
	lines := strings.Split(strings.TrimSpace(listed), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], " "+id+" ") {
		t.Fatalf("listed are\n%s", listed)
	}
	number := strings.Fields(lines[1])[0]
	p.command("kill", number).wants(t, 0, "session "+number+" of 127.0.0.1:", "")
	if _, err := tryAsk(t, c, "select 1"); err == nil {
		t.Error("it answers")
	}
	if r := p.sessionOf(id); r["end"] != "killed" {
		t.Errorf("it ended with %v", r["end"])
	}
	p.command("kill", number).wants(t, 2, "", "no such session: "+number)
	p.command("kill", "one").wants(t, 2, "", `"one" is no number of a session`)
	p.command("kill").wants(t, 2, "", "kill takes one ID")
	fairlead(t, "kill", "1", "--socket", filepath.Join(t.TempDir(), "none")).wants(t, 1, "", "is fairlead running?")
}
