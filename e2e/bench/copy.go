//go:build linux

package main

import (
	"flag"
	"io"
	"net"
	"sync"
)

// copyCommand is the sub-command "copy": the proxy that is written in a minute, a goroutine and an io.Copy for each
// direction. It is the measure of what an engine of one's own is worth. On Linux io.Copy between two TCP
// connections splices.
func copyCommand(arguments []string) error {
	flags := flag.NewFlagSet("copy", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to listen on")
	backend := flags.String("backend", "", "address to connect to")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		go copySession(client.(*net.TCPConn), *backend)
	}
}

func copySession(client *net.TCPConn, backend string) {
	defer client.Close()
	connection, err := net.Dial("tcp", backend)
	if err != nil {
		return
	}
	server := connection.(*net.TCPConn)
	defer server.Close()
	var directions sync.WaitGroup
	directions.Go(func() { copyDirection(server, client) })
	copyDirection(client, server)
	directions.Wait()
}

func copyDirection(to, from *net.TCPConn) {
	io.Copy(to, from)
	to.CloseWrite()
}
