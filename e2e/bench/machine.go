//go:build linux

package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// machine is what the figures were measured on.
type machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"` // usable ones
	Kernel     string `json:"kernel"`
	Layout     layout `json:"layout"`
	// Descriptors is the limit of each process.
	Descriptors int `json:"descriptors"`
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d processors, Linux %s; processors of proxies %v, server %v, load %v",
		m.CPU, m.Processors, m.Kernel, m.Layout.Proxy, m.Layout.Server, m.Layout.Load)
}

// cpuModel finds the name of the first processor in /proc/cpuinfo; some architectures don't tell.
func cpuModel(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && string(bytes.TrimSpace(key)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return "unknown processor"
}

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

// shortVersion cuts what a program prints of itself down to its name and number.
func shortVersion(text string) string {
	for _, known := range []struct{ mark, name string }{
		{"HAProxy", "HAProxy"}, {"nginx", "nginx"}, {"MariaDB", "MariaDB"}, {"sysbench", "sysbench"}, {"go1", "Go"},
	} {
		if strings.Contains(text, known.mark) {
			return known.name + " " + versionNumber.FindString(text)
		}
	}
	return ""
}
