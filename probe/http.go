package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxBody bounds what is read of an answer about health, in bytes.
const maxBody = 64 << 10

// http asks the server's HTTP port how it feels. Where the MySQL port has answered before, a server that says it is
// not ready is leaving: it goes on serving its sessions. Where HTTP is all that is asked, it is unfit.
//
// An HTTP port that doesn't answer is evidence against the server also when the MySQL port does: a front
// end serves both from one process, and one of them lost means that it is starting, ending or ill. fall guards
// against a single lost answer.
//
// An answer that blames the request (3xx, 4xx) says nothing about the server, only that the probe asks in a wrong way.
func (a *attempt) http(ctx context.Context) *fault {
	a.result.Step = StepHTTP
	asker, f := a.newAsker(ctx)
	if f != nil {
		return a.withoutHTTP(f)
	}
	defer asker.close()
	if f := asker.health(); f != nil {
		return a.withoutHTTP(f)
	}
	if a.config.Bootstrap {
		if f := asker.bootstrap(); f != nil {
			return a.withoutHTTP(f)
		}
	}
	if a.config.LeaderFromMetrics {
		asker.role()
	}
	return nil
}

// withoutHTTP keeps what the MySQL port has said when HTTP gave no evidence.
func (a *attempt) withoutHTTP(f *fault) *fault {
	if !f.config || a.config.Type == TypeHTTP {
		return f
	}
	a.result.ConfigError = f.reason()
	return nil
}

// asker asks one server over HTTP, each time on a new connection.
type asker struct {
	*attempt
	ctx       context.Context
	transport *http.Transport
	url       *url.URL
	password  string
}

func (a *attempt) newAsker(ctx context.Context) (*asker, *fault) {
	u, err := url.Parse(expandHost(a.config.HTTP, a.target.Host))
	if err != nil || u.Host == "" {
		return nil, misconfigured(StepHTTP, "http: %s is no URL", quoted(a.config.HTTP))
	}
	password, err := readSecret(a.config.HTTPPasswordFile)
	if err != nil {
		return nil, unreadable(StepHTTP, "http_password_file", err)
	}
	encryption, err := a.config.tlsConfig("")
	if err != nil {
		return nil, unreadable(StepHTTP, "tls", err)
	}
	if encryption == nil {
		encryption = new(tls.Config)
	}
	k := &asker{attempt: a, ctx: ctx, url: u, password: password}
	k.transport = &http.Transport{
		DialContext:            k.dialHTTP,
		TLSClientConfig:        encryption,
		DisableKeepAlives:      true,
		DisableCompression:     true, // so that the bound on a body is one on what is sent
		MaxResponseHeaderBytes: maxBody,
	}
	return k, nil
}

func (k *asker) close() { k.transport.CloseIdleConnections() }

// dialHTTP connects to the address that has answered on the MySQL port, so that both answers come from
// the same server, or to the target's addresses in turn; the URL has the port. A URL that names another
// host is resolved as usual.
func (k *asker) dialHTTP(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, text, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, err
	}
	if host != strings.Trim(k.target.Host, "[]") {
		return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, network, hostport)
	}
	addresses := []netip.AddrPort{k.result.Address}
	if k.config.Type == TypeHTTP {
		addresses = nil
		if k.target.Addresses != nil {
			addresses = k.target.Addresses()
		}
	}
	err = errNoAddress
	for i, address := range addresses {
		at := netip.AddrPortFrom(address.Addr(), uint16(port))
		var conn net.Conn
		start := time.Now()
		conn, err = k.dial(ctx, share(k.ctx, len(addresses)-i), at)
		if k.config.Type == TypeHTTP && (err == nil || i == 0) {
			k.result.Address = at
		}
		if err == nil && k.config.Type == TypeHTTP {
			k.result.Connect = time.Since(start)
		}
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

var errNoAddress = errors.New("no address is known")

// get asks for a path of the server, or for the configured URL when path is empty. The caller closes the body.
func (k *asker) get(path string) (*http.Response, *fault) {
	u := *k.url
	if path != "" {
		u.Path, u.RawPath, u.RawQuery = path, "", ""
	}
	request, err := http.NewRequestWithContext(k.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, misconfigured(StepHTTP, "%v", err)
	}
	request.Header.Set("User-Agent", "fairlead")
	if k.config.HTTPUser != "" {
		request.SetBasicAuth(k.config.HTTPUser, k.password)
	}
	// RoundTrip, not a client: a redirect is an answer like any other here.
	response, err := k.transport.RoundTrip(request)
	if err != nil {
		return nil, k.fault(u.String(), err)
	}
	return response, nil
}

func (k *asker) fault(what string, err error) *fault {
	if f := localTrouble(StepHTTP, err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, errNoAddress):
		return unfit(StepResolve, failResolve, "%v for %s", err, quoted(k.target.Host))
	case isTimeout(err):
		return unfit(StepHTTP, failHTTPTimeout, "%s: no answer within %s", what, span(k.config.Timeout))
	case errors.Is(err, syscall.ECONNREFUSED):
		return unfit(StepHTTP, failHTTPRefused, "%s: connection refused (nothing listens there)", what)
	case isClosed(err):
		return unfit(StepHTTP, failHTTPError, "%s: %s without an answer", what, howClosed(err))
	}
	return unfit(StepHTTP, failHTTPError, "%s: %s", what, rootCause(err))
}

func (k *asker) health() *fault {
	response, f := k.get("")
	if f != nil {
		return f
	}
	defer response.Body.Close()
	var body []byte
	if response.StatusCode == http.StatusOK {
		var err error
		if body, err = io.ReadAll(io.LimitReader(response.Body, maxBody)); err != nil {
			return k.fault(response.Request.URL.String(), err)
		}
	}
	answer := judgeHealth(response.StatusCode, body)
	what := fmt.Sprintf("%s answers %s", response.Request.URL, answer.text)
	switch {
	case answer.verdict == Fit:
		return nil
	case answer.verdict == Undecided:
		return k.wrongRequest(what)
	case k.config.Type == TypeHTTP:
		return unfit(StepHTTP, answer.failure, "%s", what)
	}
	f = unfit(StepHTTP, answer.failure, "%s (the server is leaving: it still serves)", what)
	f.verdict = Leaving
	return f
}

// wrongRequest is for an answer that blames the request.
func (k *asker) wrongRequest(what string) *fault {
	if k.config.HTTPUser == "" {
		return misconfigured(StepHTTP, "%s: check http, or set http_user and http_password_file", what)
	}
	return misconfigured(StepHTTP, "%s: check http, http_user and http_password_file", what)
}

// healthAnswer is what an answer means: Fit, Leaving, or Undecided when it blames the request.
type healthAnswer struct {
	verdict Verdict
	failure string
	text    string
}

// judgeHealth reads an answer about health. Front ends of StarRocks leave with 500; those of Doris say "Server is
// not ready", whatever the status, and deny access with a code in a body of status 200 as well.
func judgeHealth(status int, body []byte) healthAnswer {
	words := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	switch {
	case status >= 500:
		return healthAnswer{Leaving, failHTTP5xx, words}
	case status != http.StatusOK:
		return healthAnswer{Undecided, failConfig, words}
	case bytes.Contains(bytes.ToLower(body), []byte("not ready")):
		return healthAnswer{Leaving, failHTTPNotReady, words + " and that it is not ready"}
	}
	var said struct {
		Code int `json:"code"`
	}
	if json.Unmarshal(body, &said) == nil && (said.Code == http.StatusUnauthorized || said.Code == http.StatusForbidden) {
		return healthAnswer{Undecided, failConfig, fmt.Sprintf("%s with code %d", words, said.Code)}
	}
	return healthAnswer{verdict: Fit, text: words}
}

// bootstrap asks whether the front end keeps up with the leader. The body may hold the cluster's token and
// is never shown.
func (k *asker) bootstrap() *fault {
	response, f := k.get("/api/bootstrap")
	if f != nil {
		return f
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return k.fault(response.Request.URL.String(), err)
	}
	answer := judgeBootstrap(response.StatusCode, body)
	what := fmt.Sprintf("%s answers %s", response.Request.URL, answer.text)
	switch answer.verdict {
	case Fit:
		return nil
	case Undecided:
		return k.wrongRequest(what)
	}
	return unfit(StepHTTP, answer.failure, "falls behind: %s", what)
}

// judgeBootstrap reads an answer of /api/bootstrap: {"status":"OK"} from StarRocks (BootstrapFinishAction.java),
// {"code":0} from Doris, whose class of that name wraps it otherwise.
func judgeBootstrap(status int, body []byte) healthAnswer {
	words := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	var said struct {
		Status *string `json:"status"`
		Code   *int    `json:"code"`
	}
	err := json.Unmarshal(body, &said)
	switch {
	case status >= 500:
		return healthAnswer{Unfit, failHTTP5xx, words}
	case status != http.StatusOK:
		return healthAnswer{Undecided, failConfig, words}
	case err != nil:
		return healthAnswer{Unfit, failHTTPBehind, "something that is no JSON object"}
	case said.Status != nil && strings.EqualFold(*said.Status, "OK"):
		return healthAnswer{verdict: Fit}
	case said.Status != nil:
		return healthAnswer{Unfit, failHTTPBehind, "status " + quoted(*said.Status)}
	case said.Code != nil && *said.Code == 0:
		return healthAnswer{verdict: Fit}
	case said.Code != nil && (*said.Code == http.StatusUnauthorized || *said.Code == http.StatusForbidden):
		return healthAnswer{Undecided, failConfig, fmt.Sprintf("code %d", *said.Code)}
	case said.Code != nil:
		return healthAnswer{Unfit, failHTTPBehind, fmt.Sprintf("code %d", *said.Code)}
	}
	return healthAnswer{Unfit, failHTTPBehind, "no status"}
}
