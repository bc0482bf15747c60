// Command bench runs fairlead side by side with HAProxy, nginx and a plain goroutine proxy on one machine and
// tells how they compare:
//
//	go run ./e2e/bench                                        # everything, about 20 minutes
//	go run ./e2e/bench --rounds 1 --duration 500ms --loads a,c
//	go run ./e2e/bench --peers haproxy-auto,nginx --loads b
//
// # Method
//
// The program re-executes itself as an answer server and as a load generator, so that neither shares a
// process with the other or with what is measured. Every proxy is started afresh for every load of every round,
// with one listener and one backend; the server's processes stay. Peers take turns within each round and
// the order moves on by one from load to load and from round to round, so that a slow spell of the machine
// hits all alike. Under loads a and b, where peers differ by a few percent, all of them are started together, and the
// turns are of 60 ms until each has been measured for as long as a round is: what a shared machine gives changes within
// seconds, by more than that. A figure is the median over the rounds; a goal is judged by the median of the rounds' own
// ratios, to the rival with whom that is worst. Ratios, not times, are what carries over to another
// machine.
//
// The load is a closed loop: each connection sends its next request when the answer to the last one is
// complete. Latencies are therefore those of a system that is never asked for more than it gives (coordinated
// omission): good for comparing peers, not for predicting the latency at a given rate of arrival.
//
// The processor time of a proxy is read from the kernel's clock of each of its processes (see cpu.go) by
// the load generator itself at the first and the last instant that it counts operations. A proxy's share of
// the network stack is in it: on loopback, a sender also does the receiver's protocol work, for every peer alike.
//
// # Loads
//
//	a  1, 64 and 512 connections, 100 bytes there and 200 back
//	b  a session each time: connect, greeting of 78 bytes, login of 100, answer of 11, close; 16 at once
//	c  answers of 32 KB, 1 MB and 64 MB on 4 connections
//	d  idle sessions after a login, as many as descriptors allow: memory at once and after a pause
//	e  sysbench oltp_point_select with 1, 16 and 64 threads against MariaDB
//
// # Processors
//
// See layout.go: with four processors or more, proxies have half of them to themselves; with fewer, they may
// run on all, and the server and the load generator have one each.
package main
