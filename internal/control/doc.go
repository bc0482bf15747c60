// Package control is the way in which commands reach a running fairlead: HTTP with JSON over a Unix socket.
//
//	l, err := control.Listen("/run/fairlead/fairlead.sock", control.Access{})
//	server := control.NewServer(balancer, about, log)
//	go server.Serve(l)
//	…
//	status, err := control.NewClient("/run/fairlead/fairlead.sock").Status(ctx)
//
// Who may open the socket may give orders: its mode, 0660 unless told otherwise, its owner and its group decide. Paths carry a version:
//
//	GET  /v1/status             Status
//	GET  /v1/sessions           a list of balancer.LiveSession; ?sort=id|bytes|age|idle and &limit=20 choose among them, and the
//	                            header Fairlead-Sessions tells how many there are
//	POST /v1/sessions/7/kill    the balancer.LiveSession that it was, by its id
//	POST /v1/backends/drain     an Instruction, such as {"backend": "fe1", "close_idle": true, "deadline": "5m"}: Ordered
//	POST /v1/backends/enable    the same
//	POST /v1/backends/disable   the same
//	POST /v1/reload             Reloaded, once the file is in force
//	GET  /v1/diff               Reloaded, as a reload would answer
//	POST /v1/upgrade            {"timeout": 30000000000}: Upgraded, once another process serves
//
// What goes wrong is answered by a Fault, and a status of HTTP: 400 for what can't be read, 404 for what is not there, 409
// for a name that means several backends, 422 for a file that can't be put in force, 503 with Retry-After while another process
// is about to take over, 403 for what a web page has sent.
package control
