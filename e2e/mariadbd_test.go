package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The account that MariaDB servers of these tests have, beside root.
const (
	appUser     = "app"
	appPassword = "secret"
)

// whichMariaDB asks a MariaDB server for the number that it was given.
const whichMariaDB = "select @@server_id"

// mariaDB is a MariaDB server, a process of its own with its own data directory. It ends with the test.
type mariaDB struct {
	t       *testing.T
	id      string // what it answers to whichMariaDB
	dir     string // everything that it writes
	host    string
	port    int
	inside  []string // the command that runs it elsewhere, such as in a network namespace
	options []string
	cmd     *exec.Cmd     // the present process
	ended   chan struct{} // closed at its end
}

// startMariaDBs starts servers numbered from 1, with options besides the usual ones, and returns when they serve.
func startMariaDBs(t *testing.T, n int, options ...string) []*mariaDB {
	t.Helper()
	var all []*mariaDB
	for i := range n {
		all = append(all, newMariaDB(t, i+1, options...))
	}
	startAll(t, all)
	return all
}

// startAll starts servers at the same time.
func startAll(t *testing.T, all []*mariaDB) {
	t.Helper()
	errs := make([]error, len(all))
	var starting sync.WaitGroup
	for i, m := range all {
		starting.Go(func() { errs[i] = m.begin() })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// newMariaDB prepares a server and does not start it.
func newMariaDB(t *testing.T, number int, options ...string) *mariaDB {
	t.Helper()
	required(t, "mariadbd")
	template, err := emptyDatabase(t)
	if err != nil {
		t.Fatal(err)
	}
	m := &mariaDB{t: t, id: strconv.Itoa(number), dir: socketDir(t), host: "127.0.0.1", options: options}
	if err := os.CopyFS(filepath.Join(m.dir, "data"), os.DirFS(template)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.end)
	return m
}

// smallDatabase are options for a data directory, at its making and ever after, that keep it small.
var smallDatabase = []string{
	"--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-autoextend-increment=1", "--innodb-log-file-size=4M",
	"--innodb-buffer-pool-size=8M", "--innodb-use-native-aio=0", "--innodb-flush-log-at-trx-commit=0",
}

var (
	templateOnce sync.Once
	templateDir  string
	templateErr  error
)

// emptyDatabase is a data directory to be copied, made at its first use.
func emptyDatabase(t *testing.T) (string, error) {
	install := required(t, "mariadb-install-db")
	templateOnce.Do(func() {
		templateDir = filepath.Join(filepath.Dir(binary), "mariadb") // goes when all tests are over
		// "normal" lets root in without a password.
		arguments := append(append([]string{"--no-defaults", "--datadir=" + templateDir, "--skip-test-db",
			"--auth-root-authentication-method=normal"}, smallDatabase...), mayBeRoot()...)
		if output, err := exec.Command(install, arguments...).CombinedOutput(); err != nil {
			templateErr = fmt.Errorf("mariadb-install-db: %w\n%s", err, output)
		}
	})
	return templateDir, templateErr
}

// mayBeRoot is what MariaDB's programs want to be told before they run as root.
func mayBeRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// begin starts the server and returns when it serves. The first time it takes any free port, and another one if somebody
// was faster; from then on it keeps that.
func (m *mariaDB) begin() error {
	const attempts = 5
	for attempt := 1; ; attempt++ {
		fresh := m.port == 0
		if fresh {
			m.port = freePort(m.t)
		}
		err := m.launch()
		if err == nil || !fresh || attempt == attempts {
			return err
		}
		m.port = 0
	}
}

// launch starts the process and waits until it serves, or is over.
func (m *mariaDB) launch() error {
	initial := filepath.Join(m.dir, "initial.sql")
	if err := os.WriteFile(initial, []byte("CREATE DATABASE IF NOT EXISTS sales;\n"+
		"CREATE USER IF NOT EXISTS "+appUser+"@'%' IDENTIFIED BY '"+appPassword+"';\n"+
		"GRANT ALL ON *.* TO "+appUser+"@'%';\n"), 0o600); err != nil {
		return err
	}
	arguments := append([]string{required(m.t, "mariadbd"), "--no-defaults", "--datadir=" + filepath.Join(m.dir, "data"),
		"--socket=" + m.socket(), "--pid-file=" + filepath.Join(m.dir, "pid"), "--tmpdir=" + m.dir, "--init-file=" + initial,
		"--bind-address=" + m.host, "--port=" + strconv.Itoa(m.port), "--server-id=" + m.id,
		"--skip-name-resolve", "--max-connect-errors=4294967295", // probes close without a login
		"--max-connections=400", "--performance-schema=OFF", "--key-buffer-size=64K", "--aria-pagecache-buffer-size=1M",
		"--query-cache-size=0", "--table-open-cache=64", "--max-allowed-packet=64M",
	}, smallDatabase...)
	arguments = append(append(append(append([]string{}, m.inside...), arguments...), mayBeRoot()...), m.options...)
	log, err := os.OpenFile(m.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(arguments[0], arguments[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is ended by a signal
	}()
	m.cmd, m.ended = cmd, ended
	return m.serves()
}

func (m *mariaDB) socket() string  { return filepath.Join(m.dir, "s") }
func (m *mariaDB) logFile() string { return filepath.Join(m.dir, "log") }
func (m *mariaDB) address() string { return fmt.Sprintf("%s:%d", m.host, m.port) }

// serves waits until the server answers on its socket, which is open after its port is.
func (m *mariaDB) serves() error {
	db, err := sql.Open("mysql", appUser+":"+appPassword+"@unix("+m.socket()+")/")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	again := time.NewTicker(5 * pollEvery)
	defer again.Stop()
	for db.PingContext(ctx) != nil {
		select {
		case <-again.C:
		case <-m.ended:
			return m.trouble("mariadbd has ended")
		case <-ctx.Done():
			return m.trouble("mariadbd does not serve")
		}
	}
	return nil
}

// trouble is an error with the end of the server's log.
func (m *mariaDB) trouble(what string) error {
	log, _ := os.ReadFile(m.logFile())
	return fmt.Errorf("%s: the end of its log:\n%s", what, bytes.TrimSpace(log[max(0, len(log)-2000):]))
}

// again starts a server anew that was killed, on the same port.
func (m *mariaDB) again() {
	m.t.Helper()
	if err := m.begin(); err != nil {
		m.t.Fatal(err)
	}
}

// signal sends the process a signal.
func (m *mariaDB) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

// kill ends the process as a crash does, and returns when it is gone.
func (m *mariaDB) kill() {
	m.t.Helper()
	m.signal(syscall.SIGKILL)
	<-m.ended
}

// end ends the process, if there is one.
func (m *mariaDB) end() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Kill() // also one that is stopped
	<-m.ended
	if m.t.Failed() {
		m.t.Log(m.trouble("server " + m.id))
	}
}

// inFrontOf is a configuration with a listener and a pool, named mysql and fe, in front of servers that are called by their
// numbers. The settings are more keys of the pool; probe are those of its probe.
func inFrontOf(settings, probe string, addresses ...string) string {
	text := "[shutdown]\ngrace = \"0s\"\n[[listener]]\nname = \"mysql\"\nbind = \"127.0.0.1:0\"\npool = \"fe\"\n[[pool]]\nname = \"fe\"\n" + settings +
		"\n[pool.probe]\n" + probe + "\n"
	for i, a := range addresses {
		text += fmt.Sprintf("[[pool.backend]]\nname = \"%d\"\naddress = %q\n", i+1, a)
	}
	return text
}

func addressesOf(all []*mariaDB) []string {
	var addresses []string
	for _, m := range all {
		addresses = append(addresses, m.address())
	}
	return addresses
}
