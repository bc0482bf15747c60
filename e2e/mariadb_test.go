package e2e

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// mariadbClient runs the MariaDB command line client against an address, as appUser unless the arguments say otherwise.
func mariadbClient(t *testing.T, address string, arguments ...string) outcome {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// --no-defaults keeps the user's own settings out and must come first.
	cmd := exec.CommandContext(ctx, required(t, "mariadb"), append([]string{"--no-defaults", "--protocol=tcp", "-h" + host, "-P" + port,
		"-u" + appUser, "-p" + appPassword, "-N", "-B"}, arguments...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// sessionOf waits for the line of a session that has ended, by the server's connection id.
func (p *process) sessionOf(id string) record {
	p.t.Helper()
	return p.await("the line of session "+id, func(r record) bool { return r["msg"] == "session" && fmt.Sprint(number(r["connection_id"])) == id })
}

// orderly tells whether a session ended as one does whose client has said goodbye: then either side may be the first to close.
func orderly(r record) bool { return r["end"] == "client_closed" || r["end"] == "server_closed" }

// TestMariaDB: clients log in to a MariaDB server through fairlead, and find nothing different.
func TestMariaDB(t *testing.T) {
	required(t, "mariadb")
	server := startMariaDBs(t, 1)[0]
	p := start(t, inFrontOf("", "", server.address()))
	address := p.address("mysql")
	dsn := appUser + ":" + appPassword + "@tcp(" + address + ")/sales?maxAllowedPacket=0"

	t.Run("command line", func(t *testing.T) { testCommandLine(t, p, server.address()) })
	t.Run("session log", func(t *testing.T) {
		o := mariadbClient(t, address, "sales", "-e", "select connection_id()")
		r := p.sessionOf(strings.TrimSpace(o.stdout))
		for key, want := range map[string]string{"user": appUser, "database": "sales", "program": "mysql", "backend": "1", "pool": "fe",
			"listener": "mysql"} {
			if got := fmt.Sprint(r[key]); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		if !orderly(r) {
			t.Errorf("it ended with %v", r["end"])
		}
	})
	t.Run("driver", func(t *testing.T) {
		c := connect(t, openDB(t, dsn))
		if got := ask(t, c, "select concat(current_user(), ' ', database())"); got != appUser+"@% sales" {
			t.Errorf("logged in as %q", got)
		}
		for dsn, want := range map[string]uint16{
			appUser + ":wrong@tcp(" + address + ")/":                  1045,
			"nobody@tcp(" + address + ")/":                            1045,
			appUser + ":" + appPassword + "@tcp(" + address + ")/nil": 1049,
		} {
			_, err := tryAsk(t, openDB(t, dsn), "select 1")
			var refused *mysql.MySQLError
			if !errors.As(err, &refused) || refused.Number != want {
				t.Errorf("%s: %v, want error %d", dsn, err, want)
			}
		}
	})
	t.Run("prepared", func(t *testing.T) { testPrepared(t, dsn) })
	t.Run("large", func(t *testing.T) { testLarge(t, dsn) })
	t.Run("killed session", func(t *testing.T) {
		db := openDB(t, dsn)
		killer, killed := connect(t, db), connect(t, db)
		id := ask(t, killed, "select connection_id()")
		if _, err := killer.ExecContext(t.Context(), "kill "+id); err != nil {
			t.Fatal(err)
		}
		if answer, err := tryAsk(t, killed, "select 1"); err == nil {
			t.Errorf("a killed session answers %q", answer)
		}
		// What the client still said has met a server that was gone already, or was on its way.
		if end := p.sessionOf(id)["end"]; end != "server_closed" && end != "server_reset" {
			t.Errorf("its end is %v", end)
		}
	})
}

// testCommandLine compares what the command line client gets through fairlead with what it gets straight from the server.
func testCommandLine(t *testing.T, p *process, server string) {
	for _, arguments := range [][]string{
		{"-e", "select 1"},
		{"sales", "-e", "select database()"},
		{"nowhere", "-e", "select database()"},
		{"-pwrong", "-e", "select 1"},
		{"-p", "--password=", "-e", "select 1"},
		{"-unobody", "-e", "select 1"},
		{"-e", "select * from missing.things"},
		{"--compress", "-e", "select repeat('x', 100000)"},
		{"--default-auth=mysql_clear_password", "--enable-cleartext-plugin", "-e", "select 1"},
		{"--default-auth=client_ed25519", "-e", "select 1"},
		{"--init-command=set @x = 5", "-e", "select @x; use sales; select database(); show databases"},
		{"--max-allowed-packet=64M", "-e", "select md5(repeat('y', 20 << 20)), length('" + strings.Repeat("z", 100_000) + "')"},
		{"-e", "status"},
	} {
		through, straight := mariadbClient(t, p.address("mysql"), arguments...), mariadbClient(t, server, arguments...)
		if arguments[len(arguments)-1] == "status" { // with another connection id and port
			if !strings.Contains(through.stdout, "Current user:\t\t"+appUser) || through.code != 0 {
				t.Errorf("status: %+v", through)
			}
			continue
		}
		if through != straight {
			t.Errorf("%.300q\nthrough fairlead: %.500s\nstraight: %.500s", arguments, fmt.Sprintf("%+v", through), fmt.Sprintf("%+v", straight))
		}
		if straight.code != 0 && !strings.Contains(straight.stderr, "ERROR") {
			t.Errorf("%.300q is no test: %+v", arguments, straight)
		}
	}
}

// testPrepared has the driver prepare statements on the server, which it does for arguments.
func testPrepared(t *testing.T, dsn string) {
	db := openDB(t, dsn)
	c := connect(t, db)
	if _, err := c.ExecContext(t.Context(), "create temporary table sold (id int primary key, what varchar(100), paid double, at datetime null) charset utf8mb4"); err != nil {
		t.Fatal(err)
	}
	insert, err := c.PrepareContext(t.Context(), "insert into sold values (?, ?, ?, ?)")
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	for i := range 200 {
		if _, err := insert.ExecContext(t.Context(), i, fmt.Sprintf("thing %d ☃", i), float64(i)/4, nil); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	var paid float64
	var what string
	if err := c.QueryRowContext(t.Context(), "select count(*), sum(paid), max(what) from sold where id < ? and what like ?", 100, "%☃").Scan(&n, &paid, &what); err != nil {
		t.Fatal(err)
	}
	if n != 100 || paid != 99*100/2/4.0 || what != "thing 99 ☃" {
		t.Errorf("%d rows, %v paid, the last %q", n, paid, what)
	}
}

// testLarge sends a statement of 20 MB, which is two packets, and takes 20 MB back, in one value and in many rows.
func testLarge(t *testing.T, dsn string) {
	c := connect(t, openDB(t, dsn))
	const size = 20 << 20
	text := make([]byte, size/2)
	rand.Read(text)
	sent := fmt.Sprintf("%x", text)
	var length int
	var sum, echo string
	if err := c.QueryRowContext(t.Context(), "select length(?), sha2(?, 256), ?", sent, sent, sent).Scan(&length, &sum, &echo); err != nil {
		t.Fatal(err)
	}
	if length != size || sum != fmt.Sprintf("%x", sha256.Sum256([]byte(sent))) || echo != sent {
		t.Errorf("%d bytes arrived, and %d came back", length, len(echo))
	}
	rows, err := c.QueryContext(t.Context(), "select seq, repeat(char(97 + seq % 26), 1000) from seq_0_to_19999")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var seq int
		var text string
		if err := rows.Scan(&seq, &text); err != nil {
			t.Fatal(err)
		}
		if seq != n || text != strings.Repeat(string(rune('a'+n%26)), 1000) {
			t.Fatalf("row %d is %d: %.20q", n, seq, text)
		}
	}
	if err := rows.Err(); err != nil || n != 20000 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestClientGone: a client that goes in the middle of its query takes the query along, as a front end ends a query whose
// client has closed.
func TestClientGone(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	p := start(t, inFront(fe))
	c := connect(t, p.open("mysql"))
	id := ask(t, c, "select connection_id()")
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() {
		_, err := c.ExecContext(ctx, "select sleep(1000)")
		asked <- err
	}()
	busy := func(n int) func() bool { return func() bool { return fe.Counts().Present[fakefe.Busy] == n } }
	eventually(t, "the query to run", busy(1))
	cancel()
	if err := <-asked; err == nil {
		t.Error("a query that was given up has an answer")
	}
	eventually(t, "the query to end", busy(0))
	p.sessionOf(id)
}

// TestMariaDBWithTLS: what is encrypted passes as it is. The session log can't tell who it was.
func TestMariaDBWithTLS(t *testing.T) {
	required(t, "mariadb")
	authority := certificates(t)
	server := startMariaDBs(t, 1, "--ssl-ca="+authority.file("ca.pem"), "--ssl-cert="+authority.file("cert.pem"), "--ssl-key="+authority.file("key.pem"))[0]
	p := start(t, inFrontOf("", "", server.address()))
	address := p.address("mysql")

	o := mariadbClient(t, address, "--ssl", "--ssl-ca="+authority.file("ca.pem"), "--ssl-verify-server-cert", "sales", "-e",
		"select connection_id(); show status like 'Ssl_cipher'; select repeat('x', 1000000)")
	lines := strings.Split(o.stdout, "\n")
	if o.code != 0 || len(lines) < 3 || !strings.HasPrefix(lines[1], "Ssl_cipher\tTLS") && !strings.HasPrefix(lines[1], "Ssl_cipher\tECDHE") ||
		lines[2] != strings.Repeat("x", 1_000_000) {
		t.Fatalf("the command line client: %.300s", fmt.Sprintf("%+v", o))
	}
	r := p.sessionOf(lines[0])
	if r["user"] != "" || r["database"] != "" || r["program"] != "" || !orderly(r) {
		t.Errorf("the session log tells of an encrypted session: %v", r)
	}

	config := &tls.Config{RootCAs: authority.pool, ServerName: "127.0.0.1"}
	if err := mysql.RegisterTLSConfig("e2e", config); err != nil {
		t.Fatal(err)
	}
	defer mysql.DeregisterTLSConfig("e2e")
	dsn := appUser + ":" + appPassword + "@tcp(" + address + ")/sales?maxAllowedPacket=0&tls=e2e"
	testPrepared(t, dsn)
	testLarge(t, dsn)
	if _, err := tryAsk(t, openDB(t, appUser+":wrong@tcp("+address+")/?tls=e2e"), "select 1"); err == nil || !strings.Contains(err.Error(), "1045") {
		t.Errorf("a wrong password over TLS: %v", err)
	}
	if got := ask(t, openDB(t, appUser+":"+appPassword+"@tcp("+address+")/"), "select 1"); got != "1" {
		t.Errorf("without TLS, where the server offers it: %q", got)
	}
	for series := range p.metrics() {
		if strings.HasPrefix(series, "fairlead_listener_rejects_total") {
			t.Errorf("clients were turned away: %s", series)
		}
	}
}

// TestMariaDBBalance: 300 sessions that come 64 at once and stay are 100 on each of three servers, also with weights in
// proportion; when they have gone every gauge is at zero.
func TestMariaDBBalance(t *testing.T) {
	servers := startMariaDBs(t, 3)
	for _, weights := range [][]int{{1, 1, 1}, {1, 2, 3}} {
		config := inFrontOf("", "", addressesOf(servers)...)
		total := 0
		for i, w := range weights {
			name := fmt.Sprintf("name = \"%d\"\n", i+1)
			config = strings.Replace(config, name, fmt.Sprintf("%sweight = %d\n", name, w), 1)
			total += w
		}
		p := start(t, config)
		for i := range servers {
			p.becomes(strconv.Itoa(i+1), balancer.Up)
		}
		const sessions, atOnce = 300, 64
		count, leave := crowd(t, appUser+":"+appPassword+"@tcp("+p.address("mysql")+")/", sessions, atOnce)
		for i, w := range weights {
			if got, want := count[strconv.Itoa(i+1)], sessions*w/total; got < want-1 || got > want+1 {
				t.Errorf("weights %v: server %d has %d sessions, want %d ± 1", weights, i+1, got, want)
			}
		}
		leave()
		p.poll("every gauge to be at zero", func() bool {
			zeros := 0
			for series, value := range p.metrics() {
				if strings.HasPrefix(series, "fairlead_backend_sessions") && value == "0" {
					zeros++
				}
			}
			return zeros == len(servers)
		})
	}
}

// crowd has clients log in, so many at once, and stay until leave is called. It counts them by server.
func crowd(t *testing.T, dsn string, clients, atOnce int) (count map[string]int, leave func()) {
	t.Helper()
	db := openDB(t, dsn)
	db.SetMaxIdleConns(0)
	type guest struct {
		conn   *sql.Conn
		server string
		err    error
	}
	guests := make(chan guest, clients)
	room := make(chan struct{}, atOnce)
	for range clients {
		room <- struct{}{}
		go func() {
			defer func() { <-room }()
			var g guest
			if g.conn, g.err = db.Conn(t.Context()); g.err == nil {
				g.server, g.err = tryAsk(t, g.conn, whichMariaDB)
			}
			guests <- g
		}()
	}
	count = make(map[string]int)
	var all []*sql.Conn
	for range clients {
		g := <-guests
		if g.err != nil {
			t.Error(g.err)
			continue
		}
		count[g.server]++
		all = append(all, g.conn)
	}
	return count, func() {
		for _, c := range all {
			c.Close()
		}
	}
}
