package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead/e2e/clients"
)

// matrixOptions are of the servers of the matrix.
func matrixOptions(a authority) []string {
	return []string{"--ssl-ca=" + a.file("ca.pem"), "--ssl-cert=" + a.file("cert.pem"), "--ssl-key=" + a.file("key.pem"), "--local-infile=ON",
		"--connect-timeout=300", "--net-read-timeout=300", "--net-write-timeout=300"}
}

// unhurried is a configuration for clients on a busy machine: a login may take long, and so may a probe.
func unhurried(text string) string {
	text = strings.Replace(text, "[[listener]]\n", "[[listener]]\nlogin_timeout = \"5m\"\n", 1)
	return strings.ReplaceAll(text, "[pool.probe]\n", "[pool.probe]\ntimeout = \"20s\"\n")
}

// matrixAccounts are what the matrix needs beside appUser.
var matrixAccounts = []string{
	"create database etl", "create user other@'%' identified by '" + clients.OtherPassword + "'", "grant all on etl.* to other@'%'",
	"create user lonely@'%' identified by '" + clients.AppPassword + "'",
}

// matrixRow is a client and what was found.
type matrixRow struct {
	clients.Client
	version string
	cells   []string
}

// matrixWay is a way to the server that a client is compared on.
type matrixWay struct {
	title string // of its column; "" for the way whose tasks have a column each
	at    clients.Server
	tasks []string
}

// TestClients is the matrix of e2e/clients: each client does everything straight at a server and through fairlead, with and
// without routes that move its login, and behind sniffing; and lives on when its server is killed. FAIRLEAD_E2E_README=1 puts
// the table into README.md, which must have it otherwise.
func TestClients(t *testing.T) {
	required(t, "mariadbd")
	a := certificates(t)
	m, rows := matrixRows(t, a)
	titles := matrixCompare(t, m, rows, a)
	t.Run("kills", func(t *testing.T) { matrixKills(t, m, rows, a) })
	titles = append(titles, "a backend dies")
	var all []clients.Row
	for _, r := range rows {
		if t.Failed() || len(r.cells) != len(titles) { // a part of the test may not have been asked for
			return
		}
		all = append(all, clients.Row{Name: r.Name, Version: r.version, Cells: r.cells})
	}
	table := clients.Table(titles, all)
	t.Logf("the table:\n%s", table)
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("FAIRLEAD_E2E_README") == "1" {
		text, err := clients.ReplaceTable(string(readme), table)
		if err == nil {
			err = os.WriteFile("../README.md", []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if differ := clients.Differences(string(readme), table); len(differ) > 0 {
		t.Errorf("README.md lacks these rows, or has them otherwise (make clients writes them):\n%s", strings.Join(differ, "\n"))
	}
}

// matrixRows are the clients that are installed.
func matrixRows(t *testing.T, a authority) (*clients.Matrix, []*matrixRow) {
	t.Helper()
	m, err := clients.New(t.TempDir(), a.file("ca.pem"), a.file("cert.pem"), a.file("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []*matrixRow
	for _, c := range clients.All() {
		version, err := m.Prepare(t.Context(), c)
		switch {
		case err == nil:
			rows = append(rows, &matrixRow{Client: c, version: version})
		case os.Getenv("FAIRLEAD_E2E_REQUIRE") == "1":
			t.Errorf("%v, and FAIRLEAD_E2E_REQUIRE=1 wants it", err)
		default:
			t.Logf("%s is left out: %.300v", c.Name, err)
		}
	}
	return m, rows
}

// matrixCompare has all clients do all tasks on all ways, and fills the rows' cells. It returns their titles.
func matrixCompare(t *testing.T, m *clients.Matrix, rows []*matrixRow, a authority) (titles []string) {
	t.Helper()
	servers := startMariaDBs(t, 2, matrixOptions(a)...)
	root := openDB(t, "root@unix("+servers[0].socket()+")/")
	for _, statement := range matrixAccounts {
		if _, err := root.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	straight := clients.Server{Address: servers[0].address()}
	plain := start(t, unhurried(inFrontOf("", "", servers[0].address())))
	// Everybody is greeted by the other server, which knows nobody of these but appUser.
	routes := start(t, unhurried(routed("[[listener.route]]\nuser = [\"app\", \"lonely\", \"nobody\"]\npool = \"etl\"\n", servers[1].address(), servers[0].address())))
	sniffing := start(t, unhurried(strings.Replace(inFrontOf("", "", servers[0].address()), "[[pool]]",
		"[listener.sniff]\nwait = \"5ms\"\n[[listener.sniff.route]]\nprotocol = \"http\"\npool = \"web\"\n[[pool]]\nname = \"web\"\nprotocol = \"tcp\"\n[[pool.backend]]\naddress = \"127.0.0.1:1\"\n[[pool]]", 1)))
	ways := []matrixWay{
		{"", clients.Server{Address: plain.address("mysql")}, clients.Names()},
		{"moved by a route", clients.Server{Address: routes.address("mysql")}, []string{"login", "prepared", "large", "change_user"}},
		{"behind sniffing", clients.Server{Address: sniffing.address("mysql")}, []string{"login"}},
	}
	t.Run("compare", func(t *testing.T) {
		for _, r := range rows {
			t.Run(r.Name, func(t *testing.T) {
				t.Parallel()
				r.compare(t, m, straight, ways)
			})
		}
	})
	for _, task := range clients.Tasks {
		titles = append(titles, task.Title)
	}
	if moved := routes.metrics()[`fairlead_logins_moved_total{listener="mysql"}`]; moved == "" {
		t.Error("no login was moved")
	}
	return append(titles, ways[1].title, ways[2].title)
}

// compare fills the client's cells.
func (r *matrixRow) compare(t *testing.T, m *clients.Matrix, straight clients.Server, ways []matrixWay) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	want, err := m.Run(ctx, r.Client, straight, r.Able(clients.Names()...), nil)
	if err != nil {
		t.Errorf("straight at the server: %v", err)
		return
	}
	for _, w := range ways {
		got, err := m.Run(ctx, r.Client, w.at, r.Able(w.tasks...), nil)
		if err != nil {
			t.Errorf("through fairlead: %v", err)
			return
		}
		for _, task := range clients.Tasks {
			if !slices.Contains(w.tasks, task.Name) {
				continue
			}
			cell := r.Lacks[task.Name]
			if cell == "" {
				cell = "ok"
				for _, wrong := range r.Check(task, want, straight, got, w.at) {
					t.Errorf("%s, %s %s: %s", r.Name, task.Title, w.title, wrong)
				}
			}
			if w.title == "" {
				r.cells = append(r.cells, cell)
			}
		}
		if w.title != "" {
			r.cells = append(r.cells, "ok")
		}
	}
}

// matrixKills has all clients keep four connections while one of two servers is killed, and those that know two addresses
// while one of two fairleads is.
func matrixKills(t *testing.T, m *clients.Matrix, rows []*matrixRow, a authority) {
	t.Helper()
	servers := startMariaDBs(t, 2, matrixOptions(a)...)
	const quick = "interval = \"100ms\"\nfast_interval = \"50ms\""
	one, two := start(t, inFrontOf("", quick, addressesOf(servers)...)), start(t, inFrontOf("", quick, addressesOf(servers)...))
	at := clients.Server{Address: two.address("mysql"), Other: one.address("mysql")}
	reached := map[string]*barrier{"ready": newBarrier(), "ready again": newBarrier()}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range rows {
		if why := r.Lacks[clients.PoolTask]; why != "" {
			r.cells = append(r.cells, why)
			continue
		}
		pauses := r.Client.Waits()
		at := at
		if len(pauses) == 1 {
			at = clients.Server{Address: one.address("mysql")}
		}
		waits := map[string]func(){}
		for _, step := range pauses {
			waits[step] = reached[step].expect()
		}
		all.Go(func() {
			defer func() { // whoever fails early is not waited for
				for _, arrive := range waits {
					arrive()
				}
			}()
			steps, err := m.Run(ctx, r.Client, at, []string{clients.PoolTask}, func(step string) error {
				waits[step]()
				return reached[step].wait(ctx)
			})
			cell, err := clients.Survived(steps, err)
			if err != nil {
				t.Errorf("%s: a server is killed: %v", r.Name, err)
			}
			r.cells = append(r.cells, cell)
		})
	}
	reached["ready"].arrived.Wait()
	servers[0].kill()
	close(reached["ready"].opened)
	reached["ready again"].arrived.Wait()
	two.kill()
	close(reached["ready again"].opened)
	all.Wait()
}

// barrier is where some wait for all, and then for somebody to open it.
type barrier struct {
	arrived sync.WaitGroup
	opened  chan struct{}
}

func newBarrier() *barrier { return &barrier{opened: make(chan struct{})} }

// expect adds one who will arrive; the function that it returns says so, once.
func (b *barrier) expect() (arrive func()) {
	b.arrived.Add(1)
	return sync.OnceFunc(b.arrived.Done)
}

// wait returns when the barrier is open.
func (b *barrier) wait(ctx context.Context) error {
	select {
	case <-b.opened:
		return nil
	case <-ctx.Done():
		return errors.New("the barrier was not opened in time")
	}
}

// kill ends the process as a crash does.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(fmt.Errorf("kill fairlead: %w", err))
	}
	<-p.ended
}
