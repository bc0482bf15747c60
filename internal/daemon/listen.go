package daemon

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"fairlead/balancer"
	"fairlead/internal/config"
)

// ListenErrors are the addresses, and perhaps the control socket, that the configuration asks for and that can't be
// listened on. Each names file and line where there is one.
type ListenErrors []error

// Error gives one line for each.
func (e ListenErrors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors.
func (e ListenErrors) Unwrap() []error { return e }

// addressesOf lists the addresses of a file that belong to owner.
func addressesOf(file *config.File, owner string) []config.ListenAddress {
	var all []config.ListenAddress
	for _, a := range file.ListenAddresses() {
		if a.Owner == owner {
			all = append(all, a)
		}
	}
	if all == nil && owner == "admin" { // a file that was not read from a text knows no lines
		for _, a := range file.Admin.Listen {
			all = append(all, config.ListenAddress{Owner: owner, Address: a, File: file.Name})
		}
	}
	return all
}

// explain gives the error of a listener its place in the file.
func explain(file *config.File, err error) error {
	var failed *balancer.ListenError
	if !errors.As(err, &failed) {
		return err
	}
	place := config.ListenAddress{Owner: fmt.Sprintf("listener %q", failed.Listener), Address: failed.Address, File: file.Name}
	for _, a := range addressesOf(file, place.Owner) {
		if a.Address == failed.Address {
			place = a
			break
		}
	}
	return ListenErrors{placed(place, err)}
}

// placed makes an error of listening one with place, reason and what to do.
func placed(place config.ListenAddress, err error) error {
	var reason error = err
	var errno syscall.Errno
	if errors.As(err, &errno) {
		reason = errno // without the names of the calls around it
	}
	if advice := listenAdvice(reason, place.Address); advice != "" {
		reason = fmt.Errorf("%w: %s", reason, advice)
	}
	if place.Line == 0 {
		return fmt.Errorf("%s can't listen on %v: %w", place.Owner, place.Address, reason)
	}
	return place.Failed(reason)
}

func listenAdvice(err error, address netip.AddrPort) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another program has it (ss -ltnp 'sport = :%d' tells which); end that one or take another port", address.Port())
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE; take a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this host has that address (ip addr lists them)"
	}
	return ""
}
