package clients

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// goDriver is go-sql-driver/mysql at one server.
type goDriver struct {
	*run
	ctx context.Context
}

// driveGo does tasks by go-sql-driver/mysql.
func driveGo(ctx context.Context, r *run) error {
	g := goDriver{r, ctx}
	for _, task := range r.tasks {
		var err error
		switch task {
		case "login":
			for _, w := range ways {
				got, err := g.once(g.config(func(c *mysql.Config) { c.User, c.Passwd, c.DBName = w.user, w.password, w.database }), who)
				g.didGo(task, w.step, got, err)
			}
		case "tls":
			err = g.tls()
		case "prepared":
			err = g.on(g.config(nil), g.prepared)
		case "large":
			err = g.on(g.config(nil), g.large)
		case "infile":
			err = g.on(g.config(nil), g.infile)
		case "compression":
			err = g.on(g.config(func(c *mysql.Config) { _ = c.Apply(mysql.EnableCompression(true)) }), g.compression)
		case PoolTask:
			err = g.pool()
		case "version":
			var output []byte
			output, err = exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "github.com/go-sql-driver/mysql").Output()
			r.did(task, task, strings.TrimPrefix(strings.TrimSpace(string(output)), "v"), nil)
		}
		if err != nil {
			return fmt.Errorf("task %s: %w", task, err)
		}
	}
	return nil
}

// config is the usual login, changed.
func (g goDriver) config(change func(*mysql.Config)) *mysql.Config {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName = "tcp", net.JoinHostPort(g.host, g.port), App, AppPassword, "sales"
	c.Logger = silent{}
	if change != nil {
		change(c)
	}
	return c
}

// silent keeps the driver from printing about connections that are broken on purpose.
type silent struct{}

func (silent) Print(...any) {}

// didGo is did for what database/sql gives.
func (g goDriver) didGo(task, step, result string, err error) {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		err = &refusal{int(refused.Number), string(refused.SQLState[:]), refused.Message}
	}
	g.did(task, step, result, err)
}

// on works on one connection.
func (g goDriver) on(config *mysql.Config, work func(*sql.Conn) error) error {
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	c, err := db.Conn(g.ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return work(c)
}

// once asks on a connection of its own.
func (g goDriver) once(config *mysql.Config, query string) (got string, err error) {
	err = g.on(config, func(c *sql.Conn) error {
		got, err = g.ask(c, query)
		return err
	})
	return got, err
}

func (g goDriver) ask(c *sql.Conn, query string, arguments ...any) (got string, err error) {
	err = c.QueryRowContext(g.ctx, query, arguments...).Scan(&got)
	return got, err
}

func (g goDriver) tls() error {
	pem, err := os.ReadFile(g.inside("cacert.pem"))
	if err != nil {
		return err
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	encrypted := func(password string) *mysql.Config {
		return g.config(func(c *mysql.Config) {
			c.Passwd, c.TLS = password, &tls.Config{RootCAs: authorities, ServerName: g.host}
		})
	}
	got, err := g.once(encrypted(AppPassword), cipher)
	g.didGo("tls", "cipher", got, err)
	got, err = g.once(encrypted("wrong"), "select 1")
	g.didGo("tls", "wrong password", got, err)
	got, err = g.once(encrypted(AppPassword), "select repeat('"+block+"', 100000)")
	g.didGo("tls", "row", digested("row", got), err)
	return nil
}

func (g goDriver) prepared(c *sql.Conn) error {
	if _, err := c.ExecContext(g.ctx, typed); err != nil {
		return err
	}
	insert, err := c.PrepareContext(g.ctx, "insert into t values (?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return err
	}
	defer insert.Close()
	values := []any{7, int64(-9000000000), 1.5, "3.14", "äß€😀", []byte{0, 255, '\''}, "2024-02-29", nil}
	for _, step := range []string{"types", "duplicate"} {
		got := ""
		if _, err = insert.ExecContext(g.ctx, values...); err == nil {
			got, err = g.ask(c, look)
		}
		g.didGo("prepared", step, got, err)
	}
	for step, last := range map[string]int{"again": 100, "rows": 0} {
		sum, err := g.summed(c, step, last)
		g.didGo("prepared", step, strconv.Itoa(sum), err)
	}
	for step, text := range map[string]string{"syntax error": "selec 1", "missing table": "select * from nowhere"} {
		_, err = c.PrepareContext(g.ctx, text)
		g.didGo("prepared", step, "", err)
	}
	return nil
}

// summed executes a statement once, or with the numbers from 1 to last, and adds up the rows' column.
func (g goDriver) summed(c *sql.Conn, step string, last int) (sum int, err error) {
	query := map[string]string{"again": "select ? + 0", "rows": "select seq from seq_1_to_1000 where seq > ?"}[step]
	s, err := c.PrepareContext(g.ctx, query)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	for i := min(last, 1); i <= last; i++ {
		rows, err := s.QueryContext(g.ctx, i)
		if err != nil {
			return 0, err
		}
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				return 0, err
			}
			sum += n
		}
		if err := rows.Close(); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

func (g goDriver) large(c *sql.Conn) error {
	for _, step := range []string{"query", "exact query", "row", "exact row", "three packets"} {
		g.select1(c, "large", step)
	}
	got, err := g.ask(c, "select md5(?)", strings.Repeat(block, 630_000))
	g.didGo("large", "parameter", got, err)
	return nil
}

// select1 does a step that is one query.
func (g goDriver) select1(c *sql.Conn, task, step string) {
	got, err := g.ask(c, selected(task, step))
	if err == nil && !strings.HasSuffix(step, "query") {
		got = digested(step, got)
	}
	g.didGo(task, step, got, err)
}

func (g goDriver) compression(c *sql.Conn) error {
	got, err := g.ask(c, compressed)
	g.didGo("compression", "in force", got, err)
	g.select1(c, "compression", "query")
	g.select1(c, "compression", "row")
	return nil
}

func (g goDriver) infile(c *sql.Conn) error {
	if _, err := c.ExecContext(g.ctx, "create temporary table t (a int, b varchar(20))"); err != nil {
		return err
	}
	for step, file := range map[string]string{"load": g.inside("load.txt"), "missing file": g.inside("load.txt.none")} {
		mysql.RegisterLocalFile(file)
		got := ""
		_, err := c.ExecContext(g.ctx, "load data local infile '"+file+"' into table t")
		if err == nil {
			got, err = g.ask(c, "select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t")
		}
		g.didGo("infile", step, got, err)
	}
	return nil
}

// pool is database/sql's, of four connections.
func (g goDriver) pool() error {
	connector, err := mysql.NewConnector(g.config(nil))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	var taken []*sql.Conn
	for range 4 {
		c, err := db.Conn(g.ctx)
		if err != nil {
			return err
		}
		taken = append(taken, c)
	}
	for _, c := range taken {
		if err := c.Close(); err != nil { // gives it back
			return err
		}
	}
	g.say(Step{Task: PoolTask, Step: "ready"})
	if err := g.pause("ready"); err != nil {
		return err
	}
	after := Step{Task: PoolTask, Step: "after"}
	for range 40 {
		var id string
		err := db.QueryRowContext(g.ctx, "select @@server_id").Scan(&id)
		after.count(id, err)
	}
	g.say(after)
	return nil
}
