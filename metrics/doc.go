// Package metrics holds every Prometheus metric of the balancer, on a registry of its own.
//
//	m := metrics.New(metrics.BuildInfo{Version: "1.0.0"})
//	m.Observe(pools.Samples)              // states and sessions are read at each scrape
//	b := m.Backend("fe", "10.0.0.1:9030") // bound once, kept as long as the backend
//	b.Connect.Observe(0.0002)
//	b.Ended("mysql", "client_closed")
//	http.Handle("/metrics", m.Handler())
//
// What happens often is counted through handles ([Listener], [Backend]) that were bound to their series
// before: an event costs an atomic addition or two, never a look-up in a registry. What exists now (states,
// sessions, clients in a queue) is not counted here at all: it is read from its owner at scrape time, so a
// gauge can't drift away from the truth.
//
// Label values come from the configuration, from discovery or from closed sets in the code, never from
// what a client sends.
package metrics
