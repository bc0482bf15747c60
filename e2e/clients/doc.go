// Package clients is a matrix of real client programs and libraries, each as its users run it, and of the things that
// they do with a MySQL server: do they find the same behind fairlead as straight at the server, answers, error codes and
// error texts?
//
//	m, err := clients.New(dir, "ca.pem", "cert.pem", "key.pem")
//	for _, c := range clients.All() {
//		version, err := m.Prepare(ctx, c)
//		straight, err := m.Run(ctx, c, mariadb, c.Able(clients.Names()...), nil)
//		through, err := m.Run(ctx, c, fairlead, c.Able(clients.Names()...), nil)
//		for _, task := range clients.Tasks {
//			wrong := c.Check(task, straight, mariadb, through, fairlead) // empty if all is the same
//		}
//	}
//
// Most clients are a small program of programs/, that is called with a host, a port and tasks, and does these one after the
// other. A task has steps; after each of them the program prints a line of JSON:
//
//	{"task":"login","step":"right","result":"app@% sales"}
//	{"task":"login","step":"wrong password","code":1045,"state":"28000","text":"Access denied …"}
//
// MATRIX_CA names the file with the authority that has signed the server's certificate, MATRIX_FILE what LOAD DATA LOCAL
// loads. The task pool prints {"task":"pool","step":"ready"} when its connections are open, waits for a line on standard
// input, which comes once a server was killed, goes on, and prints how many queries failed and which servers answered.
// What the steps are, and what each must give, stands in task.go; all tables are temporary ones.
//
// The test that starts servers and fairleads is in package e2e.
package clients
