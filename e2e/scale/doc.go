// Command scale measures how fairlead's costs grow with what it has to look after:
//
//	go run ./e2e/scale                            # everything, about five minutes
//	go run ./e2e/scale --studies choose,sessions
//	go run ./e2e/scale --most 1000                # leaves the larger sizes out
//
// Each study grows one thing, and measures at each size what depends on it. A line of the table has the figures at all
// sizes and the exponent that fits them best: a cost that grows like size^1 is linear, and 0 means that it does
// not grow. The exponent is the slope of the least squares line through the logarithms. The program fails when one is above
// linear by more than measurements scatter, or when a figure misses its goal.
//
// # Studies
//
//	choose    a choice among the backends of a pool, for each policy; in this process, with sessions on all backends
//	backends  pools of ten backends each: probing, a scrape, a status, a reload, memory
//	lines     lines of configuration, two for each backend: a check and a reload
//	sessions  sessions under way: their set-up, a question from each of them, memory, a scrape, a status, a list
//	sources   clients' addresses that the gate remembers: a session of each, memory
//
// All but the first run the fairlead of this source tree as a process of its own, between clients and a server which are
// part of this program: so the times hold their work as well, on the same processors.
package main
