package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/go-sockaddr/template"
)

// fault is what is wrong with a piece of text, and what to write instead. The zero fault is none.
type fault struct{ message, suggestion string }

// listenAddresses reads addresses to listen on: a string or a list, each an address with port or a template.
func (s *section) listenAddresses(key string, byDefault []netip.AddrPort, owner string, f *File) []netip.AddrPort {
	var list []netip.AddrPort
	path := s.child(key)
	add := func(addr netip.AddrPort, line int) {
		s.doc.moved[fmt.Sprintf("%s[%d]", path, len(list))] = line
		list = append(list, addr)
		f.listen = append(f.listen, ListenAddress{Owner: owner, Address: addr, File: s.doc.name, Line: line})
	}
	var shown any // stays nil without a default
	if len(byDefault) > 0 {
		shown = byDefault[0].String()
	}
	for _, e := range s.texts(key, shown) {
		addresses, wrong := s.doc.listenAddresses(e.text, key == "listen")
		if wrong.message != "" {
			s.doc.blame(path)
			s.doc.at(e.line, fmt.Sprintf("%s: %s", key, wrong.message), wrong.suggestion)
		}
		for _, addr := range addresses {
			add(addr, e.line)
		}
	}
	if !s.has(key) {
		for _, addr := range byDefault {
			add(addr, s.at.line)
		}
	}
	words := make([]string, len(list))
	for i, addr := range list {
		words[i] = strconv.Quote(addr.String())
	}
	s.noteAs(key, words...)
	return list
}

// templatePort is the port after a template, as in "{{ GetPrivateIPs }}:9030".
var templatePort = regexp.MustCompile(`^(.*\}\})\s*:([0-9]+)$`)

// listenAddresses reads one text. A template may yield several addresses between spaces; those that it yields without
// a port take the one that follows it.
func (d *document) listenAddresses(text string, admin bool) ([]netip.AddrPort, fault) {
	if !isTemplate(text) {
		addr, wrong := parseListen(text, admin)
		if wrong.message != "" {
			return nil, wrong
		}
		return []netip.AddrPort{addr}, fault{}
	}
	pattern, port := text, ""
	if m := templatePort.FindStringSubmatch(text); m != nil {
		pattern, port = m[1], m[2]
	}
	words, wrong := d.expand(pattern)
	if wrong.message != "" {
		return nil, wrong
	}
	var list []netip.AddrPort
	for _, word := range words {
		if ip, err := netip.ParseAddr(strings.Trim(word, "[]")); err == nil && port != "" {
			word = joinPort(ip, port)
		}
		addr, wrong := parseListen(word, admin)
		if wrong.message == "" && strings.HasPrefix(word, ":") {
			wrong.message = fmt.Sprintf("%q has no address", word) // the template's part is empty: not all addresses were meant
		}
		if wrong.message != "" {
			return nil, fault{fmt.Sprintf("the template %s yields what is no address to listen on: %s", quote(text), wrong.message),
				`a template yields addresses, and the port follows it: "{{ GetPrivateIP }}:9030"`}
		}
		list = append(list, addr)
	}
	return list, fault{}
}

// parseListen reads an address with port. Without an address, as in ":9030", all of the machine's are meant.
func parseListen(text string, admin bool) (netip.AddrPort, fault) {
	port := "9030"
	if admin {
		port = "9090"
	}
	if rest, ok := strings.CutPrefix(text, ":"); ok && !strings.Contains(rest, ":") {
		text = "[::]:" + rest
	}
	addr, err := netip.ParseAddrPort(text)
	if err == nil {
		return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), fault{}
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return addr, fault{fmt.Sprintf("%q has no port", text), fmt.Sprintf("write %q", joinPort(ip, port))}
	}
	cut := strings.LastIndexByte(text, ':')
	hostPart, portPart := text, ""
	if cut >= 0 {
		hostPart, portPart = text[:cut], text[cut+1:]
	}
	ip, err := netip.ParseAddr(strings.Trim(hostPart, "[]"))
	_, portErr := strconv.ParseUint(portPart, 10, 16)
	switch {
	case err == nil && portErr != nil:
		return addr, fault{fmt.Sprintf("%q has no port from 0 to 65535", text), fmt.Sprintf("write %q", joinPort(ip, port))}
	case err == nil:
		return addr, fault{fmt.Sprintf("%q needs brackets around the IPv6 address", text), fmt.Sprintf("write %q", joinPort(ip, portPart))}
	case hostPart == "*" && portErr == nil:
		return addr, fault{fmt.Sprintf("%q is no IP address with port", text), fmt.Sprintf("write %q for all addresses, or %q for those of IPv4", "[::]:"+portPart, "0.0.0.0:"+portPart)}
	case strings.EqualFold(hostPart, "localhost"):
		if portErr != nil {
			portPart = port
		}
		return addr, fault{fmt.Sprintf("%q is a name, and listening needs an IP address", text), fmt.Sprintf("write %q", "127.0.0.1:"+portPart)}
	case portErr == nil && strings.ContainsFunc(hostPart, unicode.IsLetter) && !strings.Contains(hostPart, ":"):
		return addr, fault{fmt.Sprintf("%q is a name, and listening needs an IP address", text), fmt.Sprintf("write such as %q", "127.0.0.1:"+portPart)}
	case cut < 0 && allDigits(text):
		return addr, fault{fmt.Sprintf("%q is no IP address with port", text), fmt.Sprintf("write %q, or %q for all addresses", "127.0.0.1:"+text, "[::]:"+text)}
	}
	return addr, fault{fmt.Sprintf("%q is no IP address with port", text), fmt.Sprintf("write such as %q", "127.0.0.1:"+port)}
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// joinPort writes an address with a port that is still text.
func joinPort(ip netip.Addr, port string) string {
	if ip.Is6() {
		return "[" + ip.String() + "]:" + port
	}
	return ip.String() + ":" + port
}

// sourceAddress reads the local address of connections: one address without port, or a template that yields one.
func (s *section) sourceAddress(key string) netip.Addr {
	text := s.text(key, "")
	if text == "" {
		return netip.Addr{}
	}
	word := text
	if isTemplate(text) {
		words, wrong := s.doc.expand(text)
		if wrong.message == "" && len(words) > 1 {
			wrong = fault{fmt.Sprintf("the template %s yields %d addresses", quote(text), len(words)),
				`one is needed: put | limit 1 into the template, as in '{{ GetPrivateInterfaces | limit 1 | attr "address" }}'`}
		}
		if wrong.message != "" {
			s.problem(key, key+": "+wrong.message, wrong.suggestion)
			return netip.Addr{}
		}
		word = words[0]
	}
	addr, err := netip.ParseAddr(word)
	if err == nil {
		s.noteAs(key, strconv.Quote(addr.Unmap().String()))
		return addr.Unmap()
	}
	suggestion := `write such as "10.0.0.1"`
	if withPort, err := netip.ParseAddrPort(word); err == nil {
		suggestion = fmt.Sprintf("write %q: the kernel chooses the port", withPort.Addr())
	}
	s.problem(key, fmt.Sprintf("%s: %q is no IP address", key, word), suggestion)
	return netip.Addr{}
}

// quote puts text between the quotes that TOML has for text with double quotes in it.
func quote(text string) string {
	if strings.Contains(text, `"`) && !strings.Contains(text, "'") && strings.IndexFunc(text, unicode.IsControl) < 0 {
		return "'" + text + "'"
	}
	return strconv.Quote(text)
}

func isTemplate(text string) bool { return strings.Contains(text, "{{") }

// expand fills in a template of go-sockaddr with the addresses of this machine.
func (d *document) expand(text string) ([]string, fault) {
	interfaces, err := d.host.interfaces()
	if err != nil {
		return nil, fault{fmt.Sprintf("the template %s can't be filled in: %v", quote(text), err), ""}
	}
	result, err := template.ParseIfAddrs(text, interfaces)
	if err != nil {
		return nil, fault{fmt.Sprintf("the template %s fails: %s", quote(text), templateReason(err)),
			`templates are those of go-sockaddr, such as "{{ GetPrivateIP }}:9030"`}
	}
	words := strings.Fields(result)
	if len(words) == 0 {
		return nil, fault{fmt.Sprintf("the template %s yields no address on this machine", quote(text)), ""}
	}
	return words, fault{}
}

// templateReason cuts what the libraries put before the reason: the template itself, once more.
func templateReason(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, "sockaddr.Parse:"); i >= 0 {
		text = text[i+len("sockaddr.Parse:"):]
		text = strings.TrimLeft(text, "0123456789: ")
	}
	if i := strings.LastIndex(text, ">: "); i >= 0 {
		text = text[i+len(">: "):]
	}
	return text
}
