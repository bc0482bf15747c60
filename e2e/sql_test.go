package e2e

import (
	"context"
	"database/sql"
	"testing"
)

// open gives a database/sql pool through a listener, as root without a password.
func (p *process) open(listener string) *sql.DB {
	p.t.Helper()
	return openDB(p.t, "root@tcp("+p.address(listener)+")/")
}

// openDB gives a database/sql pool that ends with the test.
func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// ask is the answer to a query with one row of one column.
func ask(t *testing.T, on interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string) string {
	t.Helper()
	answer, err := tryAsk(t, on, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// tryAsk is ask for what may fail.
func tryAsk(t *testing.T, on interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
}, query string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err = on.QueryRowContext(ctx, query).Scan(&answer)
	return answer, err
}

// connect takes a connection of a pool, a session of its own.
func connect(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}
