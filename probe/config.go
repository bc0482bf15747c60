package probe

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"fairlead/internal/proxywire"
)

// Types of probes, for [Config.Type].
const (
	TypeMySQL = "mysql" // the server greets
	TypeTCP   = "tcp"   // the port takes connections
	TypeHTTP  = "http"  // the HTTP port answers 200
)

// What the zero values of a [Config] stand for.
const (
	DefaultInterval     = 2 * time.Second
	DefaultFastInterval = 500 * time.Millisecond
	DefaultTimeout      = time.Second
	DefaultRise         = 2
	DefaultFall         = 2
)

// maxSecret bounds a password file in bytes: a longer one is some other file.
const maxSecret = 4096

// Config says how the backends of one pool are probed. The zero value asks for the MySQL greeting at
// the default times.
type Config struct {
	// Type is TypeMySQL (also when empty), TypeTCP or TypeHTTP.
	Type string
	// Interval is the time from the start of one probe to the next; it varies by a tenth so that probes spread
	// out. FastInterval takes its place while probes differ from the verdict. Timeout bounds one probe, all steps
	// together. 0 means the defaults.
	Interval, FastInterval, Timeout time.Duration
	// Rise is how many successes in a row make an unfit backend fit again, Fall how many failures in a row
	// make a fit one unfit; 0 means the defaults.
	Rise, Fall int

	// HTTP is the URL that says how the server feels, such as http://{host}:8030/api/health; {host} is
	// replaced by the target's host. It goes with every type; TypeHTTP asks nothing else. Empty means that it is
	// not asked.
	HTTP string
	// HTTPUser and HTTPPasswordFile are sent as Basic credentials when HTTPUser is not empty.
	HTTPUser, HTTPPasswordFile string
	// Bootstrap also asks /api/bootstrap on the host and port of HTTP, which tells of a front end that falls
	// behind the leader.
	Bootstrap bool
	// LeaderFromMetrics also reads /metrics there, where the leader of the front ends calls itself so.
	LeaderFromMetrics bool

	// User logs in; empty means that the greeting is enough. PasswordFile holds its password and is read
	// anew by each probe, so that it can be changed; one newline at its end is left out. Empty means no password.
	User, PasswordFile string
	// Query is asked after the login; empty means that the login is enough. Expect, unless nil, is what
	// the first column of its first row must be as text.
	Query  string
	Expect *string
	// TLS encrypts the login: "" and "false" not at all; "true" with a certificate that the system's
	// authorities vouch for; "skip-verify" with any; else it is a file of PEM certificates to trust. The name
	// in the certificate must be the target's host. Only a verified server is ever sent a password in clear, as
	// LDAP users need. It also holds for an https URL.
	TLS string

	// SendProxy is the version, v1 or v2, of the PROXY header that the server wants before anything else; empty means
	// none. It says that the connection is the balancer's own (UNKNOWN, LOCAL). HTTP is asked without.
	SendProxy string
	// Source is the local address to probe from; the zero Addr lets the kernel choose. It is left alone for
	// backends of the other IP version.
	Source netip.Addr
}

// Target is a backend to be probed.
type Target struct {
	// Pool and Name are how people and metrics call it.
	Pool, Name string
	// Host is its host name or IP address: what {host} in a URL and the name in a certificate stand for.
	Host string
	// Addresses returns its present addresses, best first. The first one that answers decides. None
	// means that the name doesn't resolve.
	Addresses func() []netip.AddrPort
	// Known is the verdict that the first probe finds in force, as handed over by another process; Undecided when there is
	// none. It has no meaning for a backend that is watched already.
	Known Verdict
}

// KeyError is one thing that is wrong in a [Config].
type KeyError struct {
	// Key is the configuration's key, such as fall.
	Key string
	// Problem is what is wrong with it, in words.
	Problem string
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Problem }

// withDefaults fills in what zero stands for.
func (c Config) withDefaults() Config {
	setDefault(&c.Type, TypeMySQL)
	setDefault(&c.Interval, DefaultInterval)
	setDefault(&c.FastInterval, DefaultFastInterval)
	setDefault(&c.Timeout, DefaultTimeout)
	setDefault(&c.Rise, DefaultRise)
	setDefault(&c.Fall, DefaultFall)
	return c
}

func setDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Validate reports everything that is wrong, joined, each as a [*KeyError]; nil when nothing is. It reads the files
// that the configuration names.
func (c Config) Validate() error {
	var problems []error
	reject := func(wrong bool, key, format string, args ...any) {
		if wrong {
			problems = append(problems, &KeyError{key, fmt.Sprintf(format, args...)})
		}
	}
	switch c.Type {
	case "", TypeMySQL, TypeTCP, TypeHTTP:
	default:
		reject(true, "type", "%q is none of %s, %s, %s", c.Type, TypeMySQL, TypeTCP, TypeHTTP)
	}
	reject(c.Interval < 0, "interval", "must not be negative")
	reject(c.FastInterval < 0, "fast_interval", "must not be negative")
	reject(c.Timeout < 0, "timeout", "must not be negative")
	reject(c.Rise < 0, "rise", "must not be negative")
	reject(c.Fall < 0, "fall", "must not be negative")

	reject(c.Type == TypeHTTP && c.HTTP == "", "http", "type http needs a URL")
	if c.HTTP != "" {
		err := checkURL(c.HTTP)
		reject(err != nil, "http", "%v", err)
	}
	reject(c.Bootstrap && c.HTTP == "", "bootstrap", "needs http, for its host and port")
	reject(c.LeaderFromMetrics && c.HTTP == "", "leader_from_metrics", "needs http, for its host and port")
	reject(c.HTTPUser != "" && c.HTTP == "", "http_user", "needs http")
	reject(c.HTTPPasswordFile != "" && c.HTTPUser == "", "http_password_file", "needs http_user")

	reject(c.User != "" && (c.Type == TypeTCP || c.Type == TypeHTTP), "user", "type %s can't log in", c.Type)
	reject(c.PasswordFile != "" && c.User == "", "password_file", "needs user")
	reject(c.Query != "" && c.User == "", "query", "needs user")
	reject(c.Expect != nil && c.Query == "", "expect", "needs query")
	reject(c.tls() && c.User == "" && !strings.HasPrefix(c.HTTP, "https:"), "tls", "needs user, or an https URL in http")

	switch c.SendProxy {
	case "", proxywire.V1, proxywire.V2:
	default:
		reject(true, "send_proxy", "%q is neither v1 nor v2", c.SendProxy)
	}

	for _, file := range []struct{ key, path string }{
		{"password_file", c.PasswordFile}, {"http_password_file", c.HTTPPasswordFile},
	} {
		_, err := readSecret(file.path)
		reject(err != nil, file.key, "%v", err)
	}
	_, err := c.tlsConfig("")
	reject(err != nil, "tls", "%v", err)
	return errors.Join(problems...)
}

func checkURL(text string) error {
	u, err := url.Parse(expandHost(text, "127.0.0.1"))
	switch {
	case err != nil:
		return err
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q does not begin with http:// or https://", text)
	case u.Host == "":
		return fmt.Errorf("%q names no host", text)
	case u.User != nil:
		return errors.New("credentials belong into http_user and http_password_file")
	case strings.ContainsAny(u.Host+u.Path, "{}"):
		return fmt.Errorf("%q: only {host} is replaced", text)
	}
	return nil
}

// expandHost puts host where template says {host}, with the brackets that an IPv6 address needs in a URL.
func expandHost(template, host string) string {
	template = strings.ReplaceAll(template, "[{host}]", "{host}")
	if strings.Contains(host, ":") {
		host = "[" + strings.ReplaceAll(strings.Trim(host, "[]"), "%", "%25") + "]"
	}
	return strings.ReplaceAll(template, "{host}", host)
}

func (c Config) tls() bool { return c.TLS != "" && c.TLS != "false" }

// tlsConfig is nil without TLS. Certificates must be for serverName; a client of HTTP, which knows the name
// from the URL, gives none.
func (c Config) tlsConfig(serverName string) (*tls.Config, error) {
	switch c.TLS {
	case "", "false":
		return nil, nil
	case "true":
		return &tls.Config{ServerName: serverName}, nil
	case "skip-verify":
		return &tls.Config{ServerName: serverName, InsecureSkipVerify: true}, nil
	}
	pem, err := os.ReadFile(c.TLS)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.TLS)
	}
	return &tls.Config{ServerName: serverName, RootCAs: roots}, nil
}

// readSecret returns a file's text without one newline at its end; an empty path is an empty secret.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxSecret {
		return "", fmt.Errorf("%s is longer than %d bytes", path, maxSecret)
	}
	secret := strings.TrimSuffix(string(text), "\n")
	return strings.TrimSuffix(secret, "\r"), nil
}
