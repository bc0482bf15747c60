package control

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/fakefe"
	"fairlead/metrics"
)

// TestKill lists a session with all that a person wants to know of it, and ends it.
func TestKill(t *testing.T) {
	fe, err := fakefe.Start(fakefe.Config{Number: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer fe.Stop()
	byDefault := config.Default()
	pool, listener := byDefault.Pool, byDefault.Listener
	pool.Name, pool.Backends = "fe", []balancer.BackendConfig{{Name: "one", Address: fe.Address(), Weight: 1}}
	listener.Name, listener.Pool, listener.Bind = "mysql", "fe", []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	b, err := balancer.New(balancer.Config{Engine: byDefault.Engine, Listeners: []balancer.ListenerConfig{listener}, Pools: []balancer.PoolConfig{pool}},
		balancer.Options{Log: slog.New(slog.DiscardHandler), Metrics: metrics.New(metrics.BuildInfo{})})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path, Access{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := NewServer(b, About{}, slog.New(slog.NewTextHandler(&log, nil)))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	db, err := sql.Open("mysql", "root@tcp("+b.Listener("mysql").Addresses()[0].String()+")/sales?connectionAttributes=program_name:report")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	session, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id uint32
	if err := session.QueryRowContext(t.Context(), "select connection_id()").Scan(&id); err != nil || id>>24 != 3 {
		t.Fatalf("the FE's id is %d, %v", id, err)
	}

	c := NewClient(path)
	all, _, err := c.Sessions(t.Context(), SessionsQuery{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	one := all[0]
	if one.User != "root" || one.Database != "sales" || one.Program != "report" || one.Backend != "one" || one.Pool != "fe" || one.ConnectionID != id ||
		one.Age <= 0 || one.Idle > one.Age || one.ToServer == 0 || one.ToClient == 0 || !one.Client.Addr().IsLoopback() {
		t.Errorf("%+v", one)
	}
	killed, err := c.Kill(t.Context(), one.ID)
	if err != nil || killed.ID != one.ID || killed.User != "root" || killed.ConnectionID != id {
		t.Errorf("%+v, %v", killed, err)
	}
	if err := session.PingContext(t.Context()); err == nil {
		t.Error("the session goes on")
	}
	session.Close()
	for end := time.Now().Add(patience); b.Sessions() > 0 && time.Now().Before(end); {
		_, _ = c.Status(t.Context()) // the session's end may be a moment away
	}
	var unknown *BackendError
	if _, err := c.Kill(t.Context(), one.ID); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "no such session: "+strconv.FormatUint(one.ID, 10)) {
		t.Errorf("a second time: %v", err)
	}
	for _, id := range []string{"x", "-1", "18446744073709551616", "1%2f2"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "POST /v1/sessions/"+id+"/kill HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if text, _ := io.ReadAll(conn); !strings.Contains(string(text), "is no number of a session") {
			t.Errorf("%s: %q", id, text)
		}
		conn.Close()
	}
	s.Close()
	serving.Wait()
	if text := log.String(); strings.Count(text, "session killed by") != 1 || !strings.Contains(text, "user=root") {
		t.Errorf("the log is %q", text)
	}
}
