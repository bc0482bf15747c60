//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// tableRows is the size of sysbench's table: it fits into the smallest buffers, so that queries cost little.
const tableRows = 10_000

// database is a MariaDB server of its own with sysbench's table in it.
type database struct {
	process  *process
	address  netip.AddrPort
	version  string
	sysbench string // path of the program
}

// startDatabase makes a data directory under dir, starts mariadbd in it and lets sysbench make its table. The
// error wraps errAbsent when a program is missing.
func startDatabase(ctx context.Context, free *ports, dir string, l layout) (*database, error) {
	install, err := lookUp("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	binary, err := lookUp("mariadbd")
	if err != nil {
		return nil, err
	}
	d := &database{}
	if d.sysbench, err = lookUp("sysbench"); err != nil {
		return nil, err
	}
	if d.version, err = firstLine(ctx, binary, "--version"); err != nil {
		return nil, err
	}
	port, err := free.take()
	if err != nil {
		return nil, err
	}
	d.address = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	data, initial := filepath.Join(dir, "mariadb"), filepath.Join(dir, "initial.sql")
	if err := os.WriteFile(initial, []byte("CREATE DATABASE IF NOT EXISTS sbtest;\n"), 0o644); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	account := []string{}
	if os.Geteuid() == 0 {
		account = append(account, "--user=root") // mariadbd refuses to be root unasked
	}
	// "normal" gives root an empty password rather than the socket's peer.
	arguments := append([]string{"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal",
		"--skip-test-db"}, account...)
	if output, err := exec.CommandContext(ctx, install, arguments...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("bench: mariadb-install-db: %w: %s", err, output)
	}
	d.process, err = startProcess("mariadbd", dir, l.Server, append([]string{binary, "--no-defaults", "--datadir=" + data,
		"--socket=" + filepath.Join(dir, "mariadb.sock"), "--init-file=" + initial,
		"--bind-address=" + d.address.Addr().String(), "--port=" + strconv.Itoa(int(port)),
		"--skip-name-resolve", "--skip-log-bin", "--performance-schema=OFF", "--max-connections=1000",
		"--max-connect-errors=1000000", // probes and readiness checks close without a login
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M"}, account...))
	if err != nil {
		return nil, err
	}
	if err := d.prepare(ctx); err != nil {
		d.process.stop()
		return nil, err
	}
	return d, nil
}

// databaseStart bounds the start of MariaDB, which takes a second or two.
const databaseStart = 60 * time.Second

// prepare waits until the database greets, and has sysbench make its table.
func (d *database) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, databaseStart)
	defer cancel()
	if err := waitReady(ctx, d.process, route{Protocol: mysql, Listen: d.address}); err != nil {
		return err
	}
	output, err := exec.CommandContext(ctx, d.sysbench, append(sysbenchArguments(d.address), "prepare")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bench: sysbench prepare: %w: %s", err, output)
	}
	return nil
}
