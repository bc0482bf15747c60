//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// loadCase is one line of the plan: a load with one set of numbers.
type loadCase struct {
	Load        string // letter of the load
	Key         string // name in the report
	Title       string
	Connections int
	Answer      int64 // bytes
}

// takesTurns tells whether the peers take turns of a fraction of a second under this load, all of them started: what the
// machine gives changes within seconds, and by more than the peers differ by.
func (c loadCase) takesTurns() bool { return c.Load == "a" || c.Load == "b" }

// exchangeAnswer is the answer's size in load a; the request has requestSize.
const exchangeAnswer = 200

// Connections of the loads that have but one number of them.
const (
	// loginWorkers sessions are made at once in load b: enough to keep every part busy.
	loginWorkers = 16
	// bulkConnections fetch answers in load c.
	bulkConnections = 4
	// burstWorkers sessions log in at once in load d, as after a restart of the application.
	burstWorkers = 256
)

var allCases = []loadCase{
	{"a", "a-1", "1 connection, 100/200 B", 1, exchangeAnswer},
	{"a", "a-64", "64 connections, 100/200 B", 64, exchangeAnswer},
	{"a", "a-512", "512 connections, 100/200 B", 512, exchangeAnswer},
	{"b", "b", "new session each time", loginWorkers, 0},
	{"c", "c-32k", "32 KB answers", bulkConnections, 32 << 10},
	{"c", "c-1m", "1 MB answers", bulkConnections, 1 << 20},
	{"c", "c-64m", "64 MB answers", bulkConnections, 64 << 20},
	{"d", "d", "idle sessions", burstWorkers, 0},
	{"e", "e-1", "sysbench, 1 thread", 1, 0},
	{"e", "e-16", "sysbench, 16 threads", 16, 0},
	{"e", "e-64", "sysbench, 64 threads", 64, 0},
}

// chooseCases gives the cases of the loads named.
func chooseCases(loads []string) ([]loadCase, error) {
	var cases []loadCase
	for _, c := range allCases {
		if slices.Contains(loads, c.Load) {
			cases = append(cases, c)
		}
	}
	for _, name := range loads {
		if !slices.ContainsFunc(allCases, func(c loadCase) bool { return c.Load == name }) {
			return nil, fmt.Errorf("bench: no load %q: there are a, b, c, d and e", name)
		}
	}
	return cases, nil
}

// list splits a flag's value at its commas; an empty one has no elements.
func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// rotate gives the elements in order, beginning with number by.
func rotate[T any](elements []T, by int) []T {
	by %= max(len(elements), 1)
	return slices.Concat(elements[by:], elements[:by])
}
