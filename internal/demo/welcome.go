package demo

import (
	"fmt"
	"net/netip"
	"strings"

	"fairlead/internal/terminal"
)

// welcome says what there is and what to type next.
func (d *demo) welcome() {
	o, style := d.options, d.options.Style
	var page strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n", args...) }
	command := func(text, remark string) {
		if remark != "" {
			remark = "   " + style.Paint(terminal.Faint, "# "+remark)
		}
		line("  %s%s", style.Paint(terminal.Bold, text), remark)
	}
	clients := d.daemon.Balancer().Listener("mysql").Addresses()[0]
	line("%s leads clients of %s to %s:", style.Paint(terminal.Bold, "fairlead "+o.Version), clients,
		terminal.Plural(o.FEs, "stand-in front end"))
	for _, fe := range d.cluster.Members() {
		line("  %s  %s  %s", fe.Name(), fe.Address(), strings.ToLower(string(fe.Role())))
	}
	line("")
	line("Type next, in another terminal:")
	mysql := fmt.Sprintf("mysql -h%s -P%d -uroot", host(clients), clients.Port())
	command(mysql, "a client newer than MariaDB 11.3 also wants --skip-ssl")
	command(fmt.Sprintf("while sleep 0.2; do %s -Ne 'select @@hostname'; done", mysql), "who answers?")
	for _, a := range d.daemon.AdminAddresses() {
		base := fmt.Sprintf("http://%s", netip.AddrPortFrom(host(a), a.Port()))
		line("  %s   %s", style.Paint(terminal.Bold, base+"/"), style.Paint(terminal.Faint, "# the status page, for a browser"))
		command("curl "+base+"/readyz", "also /healthz, /metrics and /status")
	}
	command(fmt.Sprintf("%s --socket %s status --watch", o.Program, d.socket()), "also sessions, drain fe1, enable fe1")
	line("")
	if !o.Chaos {
		line("With --chaos front ends die, freeze and leave, and come back. Ctrl-C ends this.")
	} else {
		line("Front ends will die, freeze and leave, and come back (--seed %d). Ctrl-C ends this.", o.Seed)
	}
	d.feed.print(page.String() + "\n")
}

func (d *demo) socket() string { return d.dir + "/fairlead.sock" }

// host is where a client of this machine finds what listens on an address.
func host(a netip.AddrPort) netip.Addr {
	switch {
	case !a.Addr().IsUnspecified():
		return a.Addr()
	case a.Addr().Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}
