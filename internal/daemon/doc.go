// Package daemon is fairlead as a running service: it builds the balancer, its probes, its metrics and its log from a
// configuration, serves the admin addresses and the control socket beside it, and ends all of that in order.
//
//	file, err := config.Load("config.toml")
//	…
//	err = daemon.Run(file, daemon.Options{Version: "1.0.0", Output: os.Stderr})
//
// Run is the whole of "fairlead run". New, Start, Shutdown and Close are its steps, for those who need more than one
// file's worth of it, such as the demonstration.
package daemon
