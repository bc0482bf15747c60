package fakefe

import (
	"errors"
	"fmt"

	"fairlead/internal/mysqlwire"
)

// ErrConfig is wrapped by the errors of Start about a Config that can't be served.
var ErrConfig = errors.New("fakefe: bad configuration")

// Flavour says whose front end is played.
type Flavour int

// The flavours differ in the greeting, in SHOW FRONTENDS and in /api/health.
const (
	StarRocks Flavour = iota
	Doris
)

// Role is an FE's part in its cluster, as StarRocks spells it in SHOW FRONTENDS.
type Role string

// The roles. Doris calls its leader a FOLLOWER with IsMaster true.
const (
	Leader   Role = "LEADER"
	Follower Role = "FOLLOWER"
	Observer Role = "OBSERVER"
)

// Config says how an FE is started. The zero value is a StarRocks leader with the user root and no password, on free
// ports of 127.0.0.1.
type Config struct {
	// Name answers @@hostname; "fe1" when empty.
	Name string
	// Number becomes the top 8 bits of each connection id, as newer front ends do; 0 leaves them out.
	Number byte
	// Listen and HTTPListen are the addresses for MySQL and HTTP, 127.0.0.1:0 when empty. Port 0 lets the
	// kernel choose; the FE keeps that port until Stop.
	Listen, HTTPListen string
	Flavour            Flavour
	// Version is the server version of the greeting; empty means 8.0.33 for StarRocks and 5.7.99 for Doris.
	Version string
	// Users maps names to passwords; nil means root without one.
	Users map[string]string
	// AuthPlugin is what passwords are checked with: mysql_native_password when empty, or mysql_clear_password. The greeting
	// always names the former, as front ends' do; a client is switched after its login.
	AuthPlugin string
	// ForceSwitch sends an AuthSwitchRequest even to clients that have named the right plugin.
	ForceSwitch bool
	// MaxConnections refuses further logins with error 1203, after the password has been checked; 0 means no limit.
	MaxConnections int
	// Role is Leader when empty.
	Role Role
	// HTTPUser and HTTPPassword, when set, are asked for by /api/health (Basic).
	HTTPUser, HTTPPassword string
	// OnEvent is told what happens; nil means nobody is. It is called by many goroutines at once, and what
	// happens waits for it: it must not call methods that change the FE or its cluster.
	OnEvent func(Event)
}

// withDefaults fills in what is empty and checks the rest.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Name, "fe1")
	setDefault(&c.Listen, "127.0.0.1:0")
	setDefault(&c.HTTPListen, "127.0.0.1:0")
	setDefault(&c.AuthPlugin, mysqlwire.NativePassword)
	setDefault(&c.Role, Leader)
	switch c.Flavour {
	case StarRocks:
		setDefault(&c.Version, "8.0.33")
	case Doris:
		setDefault(&c.Version, "5.7.99")
	default:
		return c, fmt.Errorf("%w: unknown flavour %d", ErrConfig, c.Flavour)
	}
	if c.Users == nil {
		c.Users = map[string]string{"root": ""}
	}
	if c.AuthPlugin != mysqlwire.NativePassword && c.AuthPlugin != mysqlwire.ClearPassword {
		return c, fmt.Errorf("%w: unknown authentication plugin %q", ErrConfig, c.AuthPlugin)
	}
	return c, nil
}

func setDefault[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}

// capabilities are the flags of the greeting.
func (c Config) capabilities() mysqlwire.Capability {
	if c.Flavour == Doris {
		return mysqlwire.DorisCapabilities
	}
	return mysqlwire.StarRocksCapabilities
}
