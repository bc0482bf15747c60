package probe

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"

	"fairlead/internal/mysqlwire"
)

// denied says that an error is about the credentials, not the server (mysqld_error.h: ER_DBACCESS_DENIED_ERROR,
// ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR; front ends use the first two).
func denied(code uint16) bool { return code == 1044 || code == 1045 || code == 1698 }

// loginAndQuery goes on where greet ended, on the same connection.
func (a *attempt) loginAndQuery(l *link, g mysqlwire.Greeting) *fault {
	conn, f := a.login(l, g)
	if f != nil {
		return f
	}
	defer conn.Close()
	if a.config.Query == "" {
		return nil
	}
	result, f := a.query(conn, a.config.Query, 1)
	if f != nil || a.config.Expect == nil {
		return f
	}
	switch want := *a.config.Expect; {
	case len(result.rows) == 0 || len(result.columns) == 0:
		return unfit(StepQuery, failQueryUnexpected, "%s gave no row, %s expected", quoted(a.config.Query), quoted(want))
	case result.rows[0][0] != want:
		return unfit(StepQuery, failQueryUnexpected, "%s gave %s, %s expected",
			quoted(a.config.Query), quoted(result.rows[0][0]), quoted(want))
	}
	return nil
}

// client is a logged-in connection.
type client struct {
	driver.Conn
	session *session
}

// login hands the link to the MySQL driver. Secrets are read here and now, so that they can be changed.
func (a *attempt) login(l *link, g mysqlwire.Greeting) (*client, *fault) {
	a.result.Step = StepLogin
	config, f := a.driverConfig()
	if f != nil {
		return nil, f
	}
	s, err := newSession(l, g)
	if err != nil {
		return nil, unfit(StepLogin, failLoginError, "%v", err)
	}
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return s, nil }
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, misconfigured(StepLogin, "%v", err)
	}
	c := &client{session: s}
	// The link's deadlines end every wait: a context would cost the driver a hand-over to another goroutine.
	err = contained(func() (err error) { c.Conn, err = connector.Connect(context.Background()); return err })
	if err != nil {
		return nil, a.loginFault(s, err)
	}
	return c, nil
}

func (a *attempt) driverConfig() (*mysql.Config, *fault) {
	password, err := readSecret(a.config.PasswordFile)
	if err != nil {
		return nil, unreadable(StepLogin, "password_file", err)
	}
	host := a.target.Host
	if host == "" {
		host = a.result.Address.Addr().String()
	}
	encryption, err := a.config.tlsConfig(host)
	if err != nil {
		return nil, unreadable(StepLogin, "tls", err)
	}
	c := mysql.NewConfig()
	c.Net, c.Addr = "tcp", a.result.Address.String()
	c.User, c.Passwd, c.TLS = a.config.User, password, encryption
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:fairlead"
	c.AllowCleartextPasswords = encryption != nil && !encryption.InsecureSkipVerify
	return c, nil
}

// contained runs the driver and turns a panic over a server's bytes into an error. What is not encrypted has been
// checked by the session before; this is for what came through TLS.
func contained(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", mysqlwire.ErrMalformed, p)
		}
	}()
	return run()
}

// Close says good-bye to the server. The attempt ends the connection.
func (c *client) Close() { contained(c.Conn.Close) }

func (a *attempt) loginFault(s *session, err error) *fault {
	var refusal *mysql.MySQLError
	switch {
	case errors.As(err, &refusal):
		f := unfit(StepLogin, failLoginFailed, "user %s is refused: %s", quoted(a.config.User), refusalWords(refusal))
		f.config = denied(refusal.Number)
		return f
	case errors.Is(err, mysql.ErrNoTLS):
		f := unfit(StepLogin, failLoginTLS, "the server offers no TLS, which tls asks for")
		f.config = true
		return f
	case errors.Is(err, mysql.ErrUnknownPlugin), errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrCleartextPassword):
		f := unfit(StepLogin, failLoginError, "user %s can't log in this way: %s", quoted(a.config.User), loginMethod(err))
		f.config = true
		return f
	case s.tls && s.err == nil && !errors.Is(err, mysql.ErrInvalidConn) && !errors.Is(err, mysqlwire.ErrMalformed):
		return unfit(StepLogin, failLoginTLS, "TLS: %s", printable(err.Error()))
	}
	return a.streamFault(StepLogin, s, err, failLoginTimeout, failLoginError)
}

// loginMethod puts the driver's advice into terms of the configuration.
func loginMethod(err error) string {
	if errors.Is(err, mysql.ErrCleartextPassword) {
		return "the server wants the password in clear, which needs tls with a verified certificate"
	}
	return err.Error()
}

// streamFault is for a conversation that broke off.
func (a *attempt) streamFault(step Step, s *session, err error, timeout, other string) *fault {
	if s.err != nil {
		err = s.err
	}
	if f := localTrouble(step, err); f != nil {
		return f
	}
	switch {
	case isTimeout(err):
		return unfit(step, timeout, "no answer within %s", span(a.config.Timeout))
	case isClosed(err):
		return unfit(step, other, "%s", howClosed(err))
	}
	return unfit(step, other, "%s", rootCause(err))
}

func refusalWords(e *mysql.MySQLError) string {
	refusal := &mysqlwire.ServerError{Code: e.Number, Message: e.Message}
	if e.SQLState != [5]byte{} {
		refusal.State = string(e.SQLState[:])
	}
	return serverWords(refusal)
}

// resultSet is an answer as text; NULL is an empty text.
type resultSet struct {
	columns []string
	rows    [][]string
}

// query asks text and reads at most limit rows of the answer.
func (a *attempt) query(c *client, text string, limit int) (resultSet, *fault) {
	a.result.Step = StepQuery
	var result resultSet
	err := contained(func() error {
		rows, err := c.Conn.(driver.QueryerContext).QueryContext(context.Background(), text, nil)
		if err != nil {
			return err
		}
		result.columns = rows.Columns()
		values := make([]driver.Value, len(result.columns))
		for len(result.rows) < limit && err == nil {
			if err = rows.Next(values); err == nil {
				result.rows = append(result.rows, texts(values))
			}
		}
		if err == io.EOF && len(values) > 0 && c.session.cutShort() {
			return fmt.Errorf("%w: row cut short", mysqlwire.ErrMalformed)
		}
		if err == io.EOF {
			err = c.session.err
		}
		// The rest of the answer is read away, so that the server is told good-bye where it listens.
		rows.Close()
		return err
	})
	if err == nil {
		return result, nil
	}
	var refusal *mysql.MySQLError
	if errors.As(err, &refusal) {
		return result, unfit(StepQuery, failQueryFailed, "%s failed: %s", quoted(text), refusalWords(refusal))
	}
	return result, a.streamFault(StepQuery, c.session, err, failQueryTimeout, failQueryError)
}

// texts renders a row as the server wrote it, but for floating-point numbers, which get their shortest form.
func texts(values []driver.Value) []string {
	row := make([]string, len(values))
	for i, value := range values {
		switch v := value.(type) {
		case nil:
		case []byte:
			row[i] = string(v)
		case float32:
			row[i] = strconv.FormatFloat(float64(v), 'g', -1, 32)
		case float64:
			row[i] = strconv.FormatFloat(v, 'g', -1, 64)
		case time.Time:
			row[i] = v.Format(time.DateTime)
		default:
			row[i] = fmt.Sprint(v)
		}
	}
	return row
}
