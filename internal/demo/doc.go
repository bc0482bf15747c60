// Package demo shows what fairlead does, on one machine and in one process: stand-in front ends (internal/fakefe), a
// balancer before them, and a line for whatever happens.
//
//	err := demo.Run(ctx, demo.Options{Out: os.Stdout, Log: os.Stderr, FEs: 3, Listen: "127.0.0.1:9030"})
package demo
