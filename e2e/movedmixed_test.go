package e2e

import (
	"fmt"
	"strings"
	"testing"

	"fairlead/internal/fakefe"
)

// TestMovedLoginsBetweenSorts of servers: every client can be moved to a server that can do more than the one that greeted. To
// one that can do less it is moved if it does not rely on what that one lacks, and stays otherwise.
func TestMovedLoginsBetweenSorts(t *testing.T) {
	required(t, "mariadb")
	server := startMariaDBs(t, 1)[0]
	fe := startFE(t, fakefe.Config{Name: "fe", Users: map[string]string{appUser: appPassword}})
	route := "[[listener.route]]\nuser = \"app\"\npool = \"etl\"\n"
	stranger := startFE(t, fakefe.Config{Name: "stranger"})
	up, down := start(t, routed(route, fe.Address(), server.address())), start(t, routed(route, server.address(), fe.Address()))
	across := start(t, routed(route, stranger.Address(), fe.Address()))
	clients := append([]loginClient{{name: "command line"}, {name: "driver"}}, loginClients...)
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			if c.command != nil {
				c = c.with(t.TempDir())
				c.installed(t)
			}
			for p, want := range map[*process]string{up: "mariadb", across: "fe"} {
				moved, stayed := p.moves()
				if got := c.who(t, p.address("mysql")); got != want {
					t.Errorf("led to %s, want %s", got, want)
				}
				if m, s := p.moves(); m != moved+1 || s != stayed {
					t.Errorf("%d moved, %d stayed, want %d and %d", m, s, moved+1, stayed)
				}
			}
			moved, stayed := down.moves()
			got := c.who(t, down.address("mysql"))
			m, s := down.moves()
			if got == "fe" && m == moved+1 && s == stayed || got == "mariadb" && m == moved && s == stayed+1 {
				t.Logf("from MariaDB it is led to %s", got)
				return
			}
			t.Errorf("led to %s: %d moved, %d stayed, before it %d and %d", got, m, s, moved, stayed)
		})
	}
}

// moves tells how many logins were moved, and how many stayed for what the servers do not share.
func (p *process) moves() (moved, stayed int) {
	p.t.Helper()
	m := p.metrics()
	_, _ = fmt.Sscan(m[`fairlead_logins_moved_total{listener="mysql"}`], &moved)
	_, _ = fmt.Sscan(m[`fairlead_logins_not_moved_total{listener="mysql",reason="capabilities"}`], &stayed)
	return moved, stayed
}

// who tells which sort of server a client gets to: mariadb, or fe, which does not know all that is asked.
func (c loginClient) who(t *testing.T, address string) string {
	t.Helper()
	var answer string
	switch c.name {
	case "command line":
		answer = mariadbClient(t, address, "-e", "select version()").stdout
	case "driver":
		answer = ask(t, openDB(t, appUser+":"+appPassword+"@tcp("+address+")/"), "select version()")
	default:
		o := c.run(t, address, appUser, appPassword, "sales")
		if o.code != 0 && strings.Contains(o.stderr, "Unknown system variable") { // logged in to an FE, whose stand-in knows little
			return "fe"
		}
		answer = o.stdout + o.stderr
	}
	switch {
	case strings.Contains(answer, "MariaDB"), strings.HasPrefix(answer, "1 app@%"):
		return "mariadb"
	case strings.HasPrefix(answer, "8.0.33"):
		return "fe"
	}
	return answer
}

// TestLoginsOverTLSStay, whoever they are: they can't be read. The same user without TLS is moved.
func TestLoginsOverTLSStay(t *testing.T) {
	authority := certificates(t)
	servers := startMariaDBs(t, 2, "--ssl-ca="+authority.file("ca.pem"), "--ssl-cert="+authority.file("cert.pem"), "--ssl-key="+authority.file("key.pem"))
	p := start(t, routed("[[listener.route]]\nuser = \"app\"\npool = \"etl\"\n", servers[0].address(), servers[1].address()))
	dsn := appUser + ":" + appPassword + "@tcp(" + p.address("mysql") + ")/"
	if got := ask(t, openDB(t, dsn), whichMariaDB); got != "2" {
		t.Errorf("without TLS: server %s", got)
	}
	if got := ask(t, openDB(t, dsn+"?tls=skip-verify"), whichMariaDB); got != "1" {
		t.Errorf("with TLS: server %s", got)
	}
	if got := p.metrics()[`fairlead_logins_not_moved_total{listener="mysql",reason="tls"}`]; got != "1" {
		t.Errorf("%q stayed for TLS", got)
	}
}
