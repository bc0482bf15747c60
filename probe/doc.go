// Package probe finds out whether backends are fit to take sessions.
//
// [Once] probes one backend: it connects, reads the server's greeting, logs in and asks a query where
// the configuration says so, and asks the front end's HTTP port about its health:
//
//	r := probe.Once(ctx, probe.Config{HTTP: "http://{host}:8030/api/health"}, probe.Target{
//		Host:      "10.0.0.1",
//		Addresses: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:9030")} },
//	})
//	fmt.Println(r.Verdict, r.Reason) // unfit greeting: nothing received within 1s (TCP connects; …)
//
// A [Fleet] probes many backends again and again and reports what it found about each, after rise and
// fall. [ReadFrontends] asks one front end for all of them, and a [Discovery] asks whichever of them answers, again
// and again.
//
// What a probe leaves behind in a server's log is kept small: one connection for greeting, login and query,
// the whole greeting read, closed with FIN. What a server sends is bounded, checked and, where it appears in a
// reason, quoted. A probe's own trouble (no descriptors, an unreadable password file) is never taken for the
// backend's: it leaves the verdict as it was.
package probe
