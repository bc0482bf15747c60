package clients

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// who asks for the account and the database.
const who = "select concat(current_user(), ' ', ifnull(database(), 'none'))"

// What a session's status says of TLS and of compression.
const (
	cipher     = "select if(variable_value = '', 'off', 'on') from information_schema.session_status where variable_name = 'Ssl_cipher'"
	compressed = "select variable_value from information_schema.session_status where variable_name = 'Compression'"
)

// typed is a table with a column of each type, and look shows what is in it.
const (
	typed = "create temporary table t (a int primary key, b bigint, c double, d decimal(10,2), e varchar(20), f blob, g date, h int) charset utf8mb4"
	look  = "select concat_ws('|', a, b, c, d, e, hex(f), g, ifnull(h, 'NULL')) from t"
)

// ways are logins that differ from the usual one: user, password, database.
var ways = []struct{ step, user, password, database string }{
	{"right", App, AppPassword, "sales"}, {"no database", App, AppPassword, ""}, {"wrong password", App, "wrong", "sales"},
	{"no password", App, "", "sales"}, {"unknown user", "nobody", AppPassword, "sales"},
	{"unknown database", App, AppPassword, "nowhere"}, {"forbidden database", Lonely, AppPassword, "sales"},
}

// selected are queries of some of the steps, by task and step. Those of large values are longer.
func selected(task, step string) string {
	switch task + "/" + step {
	case "large/query", "compression/query":
		return "select md5('" + strings.Repeat(block, 630_000) + "')"
	case "large/exact query":
		return "select length('" + strings.Repeat("x", 16777197) + "')"
	case "large/row", "compression/row":
		return "select repeat('" + block + "', 630000)"
	case "large/exact row":
		return "select repeat('x', 16777211)"
	case "large/three packets":
		return "select repeat('" + block + "', 1260000)"
	}
	panic("no query of " + task + "/" + step)
}

// digested is what a step prints of a large value.
func digested(step, value string) string {
	if step == "exact row" {
		return strconv.Itoa(len(value))
	}
	return fmt.Sprintf("%x", md5.Sum([]byte(value)))
}

// commandLine is the program mariadb at one server.
type commandLine struct {
	*run
	ctx context.Context
}

// errorLine is how it tells of an error.
var errorLine = regexp.MustCompile(`(?m)^ERROR (\d+)(?: \((\w+)\))?(?: at line \d+)?: (.*)$`)

// as runs statements as a user.
func (c commandLine) as(user, password, database, statements string, options ...string) (string, error) {
	arguments := append([]string{"--no-defaults", "--protocol=tcp", "-h" + c.host, "-P" + c.port, "-u" + user, "--password=" + password,
		"-N", "-B", "--raw", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"}, options...)
	if !slices.Contains(options, "--ssl") {
		arguments = append(arguments, "--skip-ssl") // it would use what the server offers
	}
	if database != "" {
		arguments = append(arguments, database)
	}
	cmd := exec.CommandContext(c.ctx, "mariadb", arguments...)
	cmd.Dir = c.dir
	cmd.Stdin = strings.NewReader(statements)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if m := errorLine.FindStringSubmatch(stderr.String()); m != nil && err != nil {
		code, _ := strconv.Atoi(m[1])
		return "", &refusal{code, m[2], m[3]}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), err
}

// ask runs statements as the usual user.
func (c commandLine) ask(statements string, options ...string) (string, error) {
	return c.as(App, AppPassword, "sales", statements, options...)
}

// driveCommandLine does tasks by the program mariadb, a process for each step.
func driveCommandLine(ctx context.Context, r *run) error {
	c := commandLine{r, ctx}
	for _, task := range r.tasks {
		switch task {
		case "login":
			for _, w := range ways {
				got, err := c.as(w.user, w.password, w.database, who)
				r.did(task, w.step, got, err)
			}
		case "tls":
			c.tls()
		case "prepared":
			c.prepared()
		case "large", "compression":
			c.large(task)
		case "infile":
			load := "create temporary table t (a int, b varchar(20)); load data local infile '" + r.inside("load.txt")
			got, err := c.ask(load+"' into table t; select concat_ws(' ', count(*), sum(a), bit_xor(crc32(b))) from t", "--local-infile=1")
			r.did(task, "load", got, err)
			got, err = c.ask(load+".none' into table t", "--local-infile=1")
			r.did(task, "missing file", got, err)
		case PoolTask:
			if err := c.pool(); err != nil {
				return err
			}
		case "version":
			output, err := exec.CommandContext(ctx, "mariadb", "--version").Output()
			if err != nil {
				return err
			}
			r.did(task, task, regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(output)), nil)
		}
	}
	return nil
}

func (c commandLine) tls() {
	options := []string{"--ssl", "--ssl-ca=" + c.inside("cacert.pem"), "--ssl-verify-server-cert"}
	got, err := c.ask(cipher, options...)
	c.did("tls", "cipher", got, err)
	got, err = c.as(App, "wrong", "sales", "select 1", options...)
	c.did("tls", "wrong password", got, err)
	got, err = c.ask("select repeat('"+block+"', 100000)", options...)
	c.did("tls", "row", digested("row", got), err)
}

// prepared uses statements that SQL prepares: the program knows no others.
func (c commandLine) prepared() {
	insert := "execute s using @a, @b, @c, @d, @e, @f, @g, @h;"
	types := typed + "; prepare s from 'insert into t values (?, ?, ?, ?, ?, ?, ?, ?)';" +
		"set @a = 7, @b = -9000000000, @c = 1.5, @d = '3.14', @e = 'äß€😀', @f = x'00ff27', @g = '2024-02-29', @h = null;" + insert
	got, err := c.ask(types + look)
	c.did("prepared", "types", got, err)
	again := "prepare s from 'select ? + 0';"
	for i := 1; i <= 100; i++ {
		again += fmt.Sprintf("set @i = %d; execute s using @i;", i)
	}
	got, err = c.ask(again)
	c.did("prepared", "again", added(got), err)
	got, err = c.ask("set @n = 0; prepare s from 'select seq from seq_1_to_1000 where seq > ?'; execute s using @n")
	c.did("prepared", "rows", added(got), err)
	for step, statements := range map[string]string{"syntax error": "prepare x from 'selec 1'", "missing table": "prepare x from 'select * from nowhere'",
		"duplicate": types + insert} {
		got, err = c.ask(statements)
		c.did("prepared", step, got, err)
	}
}

// added is the sum of a column of numbers.
func added(column string) string {
	sum := 0
	for _, text := range strings.Fields(column) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return err.Error()
		}
		sum += n
	}
	return strconv.Itoa(sum)
}

// large does the tasks large and compression.
func (c commandLine) large(task string) {
	var options []string
	steps := []string{"query", "exact query", "row", "exact row", "three packets"}
	if task == "compression" {
		options, steps = []string{"--compress"}, []string{"query", "row"}
		got, err := c.ask(compressed, options...)
		c.did(task, "in force", got, err)
	} else {
		got, err := c.ask("set @v = '" + strings.Repeat(block, 630_000) + "'; prepare s from 'select md5(?)'; execute s using @v")
		c.did(task, "parameter", got, err)
	}
	for _, step := range steps {
		got, err := c.ask(selected(task, step), options...)
		if err == nil && !strings.HasSuffix(step, "query") {
			got = digested(step, got)
		}
		c.did(task, step, got, err)
	}
}

// pool connects again and again.
func (c commandLine) pool() error {
	const server = "select @@server_id"
	for range 4 {
		if _, err := c.ask(server); err != nil {
			return err
		}
	}
	c.say(Step{Task: PoolTask, Step: "ready"})
	if err := c.pause("ready"); err != nil {
		return err
	}
	after := Step{Task: PoolTask, Step: "after"}
	for range 40 {
		id, err := c.ask(server)
		after.count(id, err)
		if err != nil && !errors.As(err, new(*refusal)) {
			return err
		}
	}
	c.say(after)
	return nil
}

// count notes the answer of a server, or a query that was lost.
func (s *Step) count(id string, err error) {
	if err != nil {
		s.Lost++
		return
	}
	for _, known := range s.Servers {
		if known == id {
			return
		}
	}
	s.Servers = append(s.Servers, id)
}
