package clients

import (
	"crypto/md5"
	"fmt"
	"strings"
)

// Task is a thing that clients do: a column of the table.
type Task struct {
	Name  string // as programs know it
	Title string
	Wants []Want // what each of its steps must give
}

// Want is what a step must give: a result, or else an error with that code and with that text in it.
type Want struct {
	Step   string
	Result string
	Code   int
	Text   string
}

// The accounts that the servers must have: App with all rights and database sales, Other with all rights on database etl,
// and Lonely without any right, whose password is App's.
const (
	App, AppPassword     = "app", "secret"
	Other, OtherPassword = "other", "word"
	Lonely               = "lonely"
)

const (
	block = "abcdefghijklmnopqrstuvwxyz0" // of which large values are made; its length has no factor with that of any buffer
	// InfileRows is how many rows InfileText has.
	InfileRows = 100_000
)

var (
	once   = sum(630_000)   // of a value that needs two packets: 17,010,000 bytes
	twice  = sum(1_260_000) // three packets
	megas  = sum(100_000)   // 2,700,000 bytes
	denied = "Access denied for user "
)

func sum(n int) string { return fmt.Sprintf("%x", md5.Sum([]byte(strings.Repeat(block, n)))) }

// PoolTask is the task whose servers die, which is a column of its own.
const PoolTask = "pool"

// Tasks are all columns that are compared, in the order of the table. The task pool is not among them, for it needs servers
// that are killed.
var Tasks = []Task{
	{"login", "login", []Want{
		{Step: "right", Result: "app@% sales"},
		{Step: "no database", Result: "app@% none"},
		{Step: "wrong password", Code: 1045, Text: denied + "'app'@'127.0.0.1' (using password: YES)"},
		{Step: "no password", Code: 1045, Text: denied + "'app'@'127.0.0.1' (using password: NO)"},
		{Step: "unknown user", Code: 1045, Text: denied + "'nobody'@'127.0.0.1' (using password: YES)"},
		{Step: "unknown database", Code: 1049, Text: "Unknown database 'nowhere'"},
		{Step: "forbidden database", Code: 1044, Text: denied + "'lonely'@'%' to database 'sales'"},
	}},
	{"tls", "TLS", []Want{
		{Step: "cipher", Result: "on"},
		{Step: "wrong password", Code: 1045, Text: denied + "'app'@'127.0.0.1' (using password: YES)"},
		{Step: "row", Result: megas},
	}},
	{"prepared", "prepared statements", []Want{
		{Step: "types", Result: "7|-9000000000|1.5|3.14|äß€😀|00FF27|2024-02-29|NULL"},
		{Step: "again", Result: "5050"},
		{Step: "rows", Result: "500500"},
		{Step: "syntax error", Code: 1064, Text: "You have an error in your SQL syntax"},
		{Step: "missing table", Code: 1146, Text: "Table 'sales.nowhere' doesn't exist"},
		{Step: "duplicate", Code: 1062, Text: "Duplicate entry '7' for key 'PRIMARY'"},
	}},
	{"large", "over 16 MB", []Want{
		{Step: "query", Result: once},
		{Step: "exact query", Result: "16777197"}, // a packet of 0xffffff bytes, which an empty one follows
		{Step: "parameter", Result: once},
		{Step: "row", Result: once},
		{Step: "exact row", Result: "16777211"},
		{Step: "three packets", Result: twice},
	}},
	{"infile", "LOAD DATA LOCAL", []Want{
		{Step: "load", Result: infileSum},
		{Step: "missing file", Code: anyCode, Text: ""},
	}},
	{"compression", "compression", []Want{
		{Step: "in force", Result: "ON"},
		{Step: "query", Result: once},
		{Step: "row", Result: once},
	}},
	{"change_user", "COM_CHANGE_USER", []Want{
		{Step: "other user", Result: "other@% etl reset"},
		{Step: "wrong password", Code: 1045, Text: denied + "'other'@'127.0.0.1' (using password: YES)"},
	}},
}

// anyCode wants an error whose code is the client's own.
const anyCode = -1

// infileSum is what MariaDB makes of the file that is loaded.
var _, infileSum = infile()
