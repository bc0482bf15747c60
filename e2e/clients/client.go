package clients

import (
	"context"
	"path/filepath"
	"slices"
)

// Client is a client program or library: a row of the table.
type Client struct {
	Name string
	// Package is where it comes from, such as a package of Debian's. .ci/run installs it.
	Package string
	// Build compiles its program, in the directory that everything is in; nil if there is nothing to compile.
	Build []string
	// Command runs its program there; host, port and tasks follow.
	Command []string
	// OwnCodes is for a client that tells a server's error at the login as one of its own, with the server's text in its own.
	OwnCodes bool
	// Lacks says by task why the client can't do it.
	Lacks map[string]string
	// Wants has steps by task that differ from the task's own.
	Wants map[string][]Want
	// Pauses are the steps at which its task pool waits until something was killed; nil is one, "ready".
	Pauses []string

	// drive is in place of a Command for what is run from here.
	drive func(ctx context.Context, r *run) error
}

// connectorJar is where Debian's libmariadb-java has it.
const connectorJar = "/usr/share/java/mariadb-java-client.jar"

// noChangeUser is why most have nothing in that column.
var noChangeUser = map[string]string{"change_user": "has no call for it"}

// All are the clients, in the order of the table.
func All() []Client {
	clients := []Client{
		{Name: "mariadb, the command line", Package: "mariadb-client", Lacks: noChangeUser, drive: driveCommandLine},
		{Name: "libmariadb (C)", Package: "libmariadb-dev", Command: []string{"./libmariadb"},
			Build: []string{"sh", "-c", "cc -O1 -Wall -Werror -o libmariadb programs/libmariadb.c $(mariadb_config --cflags --libs) -lcrypto"}},
		{Name: "go-sql-driver/mysql", Package: "go.mod", Lacks: noChangeUser, drive: driveGo},
	}
	for _, scheme := range []string{"jdbc:mariadb:", "jdbc:mariadb:loadbalance:", "jdbc:mysql:loadbalance:"} {
		c := Client{Name: "MariaDB Connector/J, " + scheme, Package: "libmariadb-java", Lacks: noChangeUser,
			Build:   []string{"javac", "-cp", connectorJar, "-d", "classes", "programs/ConnectorJ.java"},
			Command: []string{"java", "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", connectorJar + ":classes", "ConnectorJ", scheme}}
		if scheme != "jdbc:mariadb:" {
			c.OwnCodes = true // "No active connection found for master: …"
			c.Pauses = []string{"ready", "ready again"}
		}
		clients = append(clients, c)
	}
	return append(clients,
		Client{Name: "PyMySQL", Package: "python3-pymysql", Command: []string{"/usr/bin/python3", "programs/dbapi.py", "pymysql"},
			Lacks: map[string]string{"change_user": "has no call for it", "compression": "has none"}},
		Client{Name: "mysqlclient (Python)", Package: "python3-mysqldb", Command: []string{"/usr/bin/python3", "programs/dbapi.py", "MySQLdb"}},
		Client{Name: "PHP mysqli", Package: "php-mysql", Command: []string{"php", "-d", "mysqli.allow_local_infile=On", "programs/clients.php", "mysqli"}},
		Client{Name: "PHP PDO", Package: "php-mysql", Command: []string{"php", "programs/clients.php", "pdo"}, Lacks: noChangeUser},
		Client{Name: "Perl DBD::mysql", Package: "libdbd-mysql-perl", Command: []string{"/usr/bin/perl", "programs/dbd.pl"}, Lacks: noChangeUser},
		Client{Name: "Ruby mysql2", Package: "ruby-mysql2", Command: []string{"ruby", "programs/mysql2.rb"}, Lacks: noChangeUser},
		Client{Name: "Node.js mysql2", Package: "mysql2", Command: []string{"node", "programs/mysql2.js"}},
		// Where it has to connect anew it ends in a segmentation fault at times (1.0.20, LuaJIT).
		Client{Name: "sysbench", Package: "sysbench", Lacks: map[string]string{"change_user": "has no call for it", PoolTask: "crashes at times"}, Wants: sysbenchWants, drive: driveSysbench},
	)
}

// wants are what the client's steps of a task must give.
func (c Client) wants(t Task) []Want {
	if own, ok := c.Wants[t.Name]; ok {
		return own
	}
	if !c.OwnCodes || t.Name != "login" && t.Name != "tls" {
		return t.Wants
	}
	wants := slices.Clone(t.Wants)
	for i := range wants {
		if wants[i].Code != 0 {
			wants[i].Code = anyCode
		}
	}
	return wants
}

// Able are the tasks among these that the client can do.
func (c Client) Able(names ...string) []string {
	var able []string
	for _, name := range names {
		if c.Lacks[name] == "" {
			able = append(able, name)
		}
	}
	return able
}

// Names are those of all Tasks.
func Names() []string {
	var names []string
	for _, t := range Tasks {
		names = append(names, t.Name)
	}
	return names
}

// inside is a file's path in the directory that everything is in.
func (m *Matrix) inside(name string) string { return filepath.Join(m.dir, name) }
