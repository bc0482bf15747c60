package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fairlead/internal/mysqlwire"
)

const (
	// showFrontends needs the privilege OPERATE or the role cluster_admin on StarRocks, ADMIN_PRIV on Doris.
	showFrontends = "SHOW FRONTENDS"
	// maxFrontends bounds the rows; real clusters have fewer than 20.
	maxFrontends = 1000
	// maxHostName is the longest name that DNS knows, in bytes (RFC 1035, 2.3.4).
	maxHostName = 253
)

// ErrFrontends is wrapped by what is wrong with an answer to SHOW FRONTENDS.
var ErrFrontends = errors.New("probe: not a list of front ends")

// Roles of front ends, for [Frontend.Role]; see also [RoleLeader].
const (
	RoleFollower = "follower"
	RoleObserver = "observer"
)

// Frontend is a row of SHOW FRONTENDS.
type Frontend struct {
	// Name is the cluster's own name for it, printable, perhaps empty.
	Name string
	// Host is an IP address or a host name.
	Host string
	// QueryPort is its MySQL port; 0 before it was first seen, when it can't serve. HTTPPort is the HTTP port
	// of the front end that answered, on every row, for that is what they send; 0 when unknown.
	QueryPort, HTTPPort uint16
	// Role is RoleLeader, RoleFollower, RoleObserver, or empty when it is none of them.
	Role string
	// Alive is what the front end that answered thinks of it; of itself it always thinks well.
	Alive bool
	// Version is printable, and empty when unknown.
	Version string
}

// ReadFrontends asks a seed for all front ends, with the user, password, TLS, time-out and source of config; what else
// it says has no meaning here. An empty list is an error, as is one of more than 1000 rows.
func ReadFrontends(ctx context.Context, config Config, seed Target) ([]Frontend, error) {
	config.Type = TypeMySQL
	a := &attempt{config: config.withDefaults(), target: seed}
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	defer func() { closeLinks(ctx, a.links) }()
	var l *link
	var g mysqlwire.Greeting
	if f := a.first(ctx, func(deadline time.Time, address netip.AddrPort) (f *fault) {
		l, g, f = a.greet(ctx, deadline, address)
		return f
	}); f != nil {
		return nil, f
	}
	c, f := a.login(l, g)
	if f != nil {
		return nil, f
	}
	defer c.Close()
	answer, f := a.query(c, showFrontends, maxFrontends+1)
	if f != nil {
		return nil, f
	}
	if n := len(answer.rows); n == 0 || n > maxFrontends {
		return nil, fmt.Errorf("%w: %d rows", ErrFrontends, n)
	}
	return ParseFrontends(answer.columns, answer.rows)
}

// ParseFrontends reads the rows of SHOW FRONTENDS by the names of their columns, as StarRocks and Doris have called
// them over time (FrontendsProcNode.java in both). SQL's NULL is given as an empty text; the text NULL means the
// same. Errors wrap ErrFrontends: one row that can't be read spoils the list, for a list that lacks a
// front end looks like one from which it was removed.
func ParseFrontends(columns []string, rows [][]string) ([]Frontend, error) {
	at := make(map[string]int, len(columns))
	for i := len(columns) - 1; i >= 0; i-- {
		at[strings.ToLower(columns[i])] = i
	}
	if !has(at, "host", "ip", "hostname") || !has(at, "queryport") {
		return nil, fmt.Errorf("%w: no column Host, IP or HostName, or no QueryPort", ErrFrontends)
	}
	frontends := make([]Frontend, 0, len(rows))
	for n, row := range rows {
		if len(row) != len(columns) {
			return nil, fmt.Errorf("%w: row %d has %d columns, not %d", ErrFrontends, n+1, len(row), len(columns))
		}
		frontend, err := frontendRow{at, row}.parse()
		if err != nil {
			return nil, fmt.Errorf("%w: row %d: %w", ErrFrontends, n+1, err)
		}
		frontends = append(frontends, frontend)
	}
	return frontends, nil
}

func has(at map[string]int, names ...string) bool {
	for _, name := range names {
		if _, ok := at[name]; ok {
			return true
		}
	}
	return false
}

// frontendRow is a row, and where to find what in it.
type frontendRow struct {
	at  map[string]int
	row []string
}

// text is the first value that is not empty among columns.
func (r frontendRow) text(columns ...string) string {
	for _, column := range columns {
		if i, ok := r.at[column]; ok {
			if text := strings.TrimSpace(r.row[i]); text != "" && !strings.EqualFold(text, "NULL") {
				return text
			}
		}
	}
	return ""
}

func (r frontendRow) parse() (Frontend, error) {
	// Doris 1 and 2.0 had both IP and HostName, of which the first always works.
	host := r.text("host", "ip", "hostname")
	if !plausibleHost(host) {
		return Frontend{}, fmt.Errorf("host %s", quoted(host))
	}
	f := Frontend{
		Name:    printable(r.text("name")),
		Host:    host,
		Role:    r.role(),
		Alive:   !has(r.at, "alive") || strings.EqualFold(r.text("alive"), "true"),
		Version: printable(r.text("version")),
	}
	var err error
	if f.QueryPort, err = port(r.text("queryport")); err != nil {
		return Frontend{}, fmt.Errorf("QueryPort %w", err)
	}
	if f.HTTPPort, err = port(r.text("httpport")); err != nil {
		return Frontend{}, fmt.Errorf("HttpPort %w", err)
	}
	return f, nil
}

// role reads what newer StarRocks says in Role alone, and Doris and older StarRocks in Role and IsMaster.
func (r frontendRow) role() string {
	if strings.EqualFold(r.text("ismaster"), "true") {
		return RoleLeader
	}
	switch role := strings.ToLower(r.text("role")); role {
	case RoleLeader, RoleFollower, RoleObserver:
		return role
	case "master":
		return RoleLeader
	}
	return ""
}

// port reads a port; unknown ones are empty, 0 or -1.
func port(text string) (uint16, error) {
	if text == "" || text == "-1" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is no port", quoted(text))
	}
	return uint16(n), nil
}

// plausibleHost accepts IP addresses and what could be a host name.
func plausibleHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > maxHostName || host[0] == '-' || host[0] == '.' {
		return false
	}
	for _, c := range []byte(host) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
