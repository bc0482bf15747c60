package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"time"

	sockaddr "github.com/hashicorp/go-sockaddr"

	"fairlead/balancer"
	"fairlead/probe"
)

// File is a configuration without an error.
type File struct {
	// Name is the file's name as given to Load or Parse.
	Name     string
	Admin    Admin
	Shutdown Shutdown
	Log      Log
	Reload   Reload
	Balancer balancer.Config
	// Probes holds how each pool's backends are probed, by the pool's name.
	Probes map[string]probe.Config
	// Discoveries holds how the members of pools are found, by the pool's name; pools without discovery are not in it.
	Discoveries map[string]Discovery
	// Warnings tells what is allowed but probably not meant, in the order of the lines.
	Warnings []Problem

	// Digest is that of the text; zero for one that was not read by Load.
	Digest Digest

	listen   []ListenAddress
	settings []setting
}

// Admin is where status and metrics are read and commands are given.
type Admin struct {
	// Listen has the addresses of the status page and the metrics; none means that neither is served.
	Listen []netip.AddrPort
	// Socket is the path of the control socket; empty means none.
	Socket string
	// SocketMode is the socket's mode; 0 means 0660. SocketOwner and SocketGroup are users and groups by name or number;
	// empty leaves them as the system makes them, those of this process.
	SocketMode               fs.FileMode
	SocketOwner, SocketGroup string
	// ReadinessFile is the path of a file that tells keepalived whether clients should be sent here; empty means none.
	ReadinessFile string
	// StateFile is the path of a file that keeps what people have ordered over a restart; empty means none.
	StateFile string
}

// Shutdown bounds the steps of an orderly end.
type Shutdown struct {
	// Grace is the time between telling that this balancer is not ready and closing the listeners; 0 closes them at once.
	Grace time.Duration
	// Drain is the time that sessions get to finish after that; 0 cuts them at once.
	Drain time.Duration
}

// Log says what is logged, and how.
type Log struct {
	// Level is the least level that is logged.
	Level slog.Level
	// Format is "text" or "json".
	Format string
	// File is the path of the file that the log is appended to; empty means standard error.
	File string
	// Sessions adds a line at the end of each session.
	Sessions bool
}

// Reload says when the file is read again.
type Reload struct {
	// Watch reloads the file when it has changed.
	Watch bool
}

// ListenAddress is an address that the file asks to listen on.
type ListenAddress struct {
	// Owner is what listens there: "admin", or "listener" and its name in quotes.
	Owner   string
	Address netip.AddrPort
	// File and Line tell where the address stands.
	File string
	Line int
}

// Failed makes the error of listening on the address into one that names file and line; it wraps err.
func (l ListenAddress) Failed(err error) error {
	return fmt.Errorf("%s:%d: %s can't listen on %v: %w", l.File, l.Line, l.Owner, l.Address, err)
}

// ListenAddresses returns all addresses to listen on, admin's first, so that the caller can find out whether they are free.
func (f *File) ListenAddresses() []ListenAddress { return f.listen }

// Load reads and checks a file, and the files that it names: passwords must be readable. A file that is not there
// wraps fs.ErrNotExist; one with faults is an Errors.
func Load(path string) (*File, error) {
	data, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("config: %w: copy config.toml.example to %s and change it, or name another file with --config", err, path)
	case err != nil:
		return nil, fmt.Errorf("config: %w", err)
	}
	f, err := parse(path, data, host{interfaces: sockaddr.GetAllInterfaces, stat: stat})
	if err != nil {
		return nil, err
	}
	f.Digest = sha256.Sum256(data)
	return f, nil
}

// Digest tells texts apart.
type Digest [sha256.Size]byte

// DigestOf reads a file and tells its text's.
func DigestOf(path string) (Digest, error) {
	data, err := read(path)
	if err != nil {
		return Digest{}, fmt.Errorf("config: %w", err)
	}
	return sha256.Sum256(data), nil
}

// Parse checks a text that has the given name in messages. Of the machine it looks at the network interfaces, for
// templates, and at no file.
func Parse(name string, data []byte) (*File, error) {
	return parse(name, data, host{interfaces: sockaddr.GetAllInterfaces})
}

// read reads a file, but no more of it than what parse refuses as too long.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSize+1))
}

// stat opens a file, to see whether it can be read, and tells about it.
func stat(name string) (os.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}
