// Package fakefe is a stand-in for a StarRocks or Apache Doris front end (FE), for tests and for the
// demonstration: real sockets, real logins and a handful of statements, over the MySQL protocol and HTTP, and
// faults that can be switched on and off while clients are connected.
//
//	fe, err := fakefe.Start(fakefe.Config{Name: "fe1"})
//	if err != nil { … }
//	defer fe.Stop()
//	db, err := sql.Open("mysql", "root@tcp("+fe.Address()+")/")
//	…
//	fe.Set(fakefe.Silent) // from now on it accepts and never greets
//	fe.Restore()
//
// [StartCluster] starts several that know of each other: SHOW FRONTENDS and /metrics tell who leads.
//
// It answers, in any case and spacing, with or without a semicolon: SELECT of literals, @@variables (@@hostname is
// the FE's name) and the functions connection_id(), database(), user(), version(), sleep(seconds),
// repeat(text, times), length(text), md5(text) and a few more; SHOW FRONTENDS, DATABASES, TABLES, VARIABLES,
// PROCESSLIST; KILL; USE; SET and transaction statements, which do nothing; and whatever [FE.Answer] adds. Results of
// any size are made while they are sent. Prepared statements know the same.
//
// What it leaves out: TLS, compression, privileges, any data. How front ends behave is taken from their sources, in
// StarRocks/starrocks below fe/fe-core/src/main/java/com/starrocks/ and in apache/doris below
// fe/fe-core/src/main/java/org/apache/doris/.
package fakefe
