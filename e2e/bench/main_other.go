//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it measures through /proc, epoll and sched_setaffinity and runs on Linux only")
	os.Exit(2)
}
