// Package systemd tells the service manager how a service is: ready, stopping, alive. It does nothing where no service
// manager asks.
//
//	n, err := systemd.FromEnvironment()   // nil when nobody wants to be told
//	…
//	defer n.Close()
//	err = n.Notify(systemd.Ready, systemd.Status("serving"))
//
// The protocol is one datagram to a socket (sd_notify(3)), less code than what a library for it would bring along.
package systemd
