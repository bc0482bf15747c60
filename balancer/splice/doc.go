// Package splice carries sessions: it accepts clients, runs each one's set-up as straight-line code, joins
// its two sockets, and tells how the session ended. It knows nothing of pools, configuration or metrics.
//
//	engine, _ := splice.New(splice.Options{})
//	engine.Listen(splice.ListenOptions{Address: address}, func(t splice.Task) {
//		server, err := t.Dial(backend, netip.Addr{}, time.Now().Add(2*time.Second))
//		if err != nil {
//			return // what a set-up leaves open, the engine closes
//		}
//		t.Join(splice.Joint{Server: server, Owner: owner})
//	})
//
// Two engines stand behind one interface. On Linux a few event loops carry all sessions (loops_linux.go): a
// set-up is a coroutine of its loop, and after Join only a small struct is left of it. Elsewhere, or when asked
// for, each session has goroutines of its own (goroutines.go). One suite of tests runs over both.
//
// What both promise:
//   - What one side sent before it closed arrives whole and in order at the other side; then its FIN.
//   - A reset is passed on as a reset, and a session that the engine ends early never looks like a clean close to
//     the client while bytes are on their way to it.
//   - A side that does not read holds at most the socket buffers and one pipe or one buffer.
//   - Bulk data goes through splice(2) on Linux, as long as pipes are to be had; without, it is copied.
package splice
