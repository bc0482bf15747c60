package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.lines = append(p.mu.lines, strings.SplitAfter(string(b), "\n")...)
	close(p.mu.changed)
	p.mu.changed = make(chan struct{})
	return len(b), nil
}

// log is all that the process has printed.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.mu.lines, "")
}

// record is one line of the log.
type record map[string]any

// records are the lines of the log so far that are JSON, and a channel that is closed when there are more.
func (p *process) records() ([]record, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []record
	for line := range strings.Lines(strings.Join(p.mu.lines, "")) {
		var r record
		if json.Unmarshal([]byte(line), &r) == nil {
			all = append(all, r)
		}
	}
	return all, p.mu.changed
}

// await waits for a line of the log, and returns the first one that is wanted.
func (p *process) await(what string, wanted func(record) bool) record {
	p.t.Helper()
	timeout := time.After(patience)
	for over := false; ; {
		all, changed := p.records()
		for _, r := range all {
			if wanted(r) {
				return r
			}
		}
		if over {
			p.t.Fatalf("fairlead has ended without %s", what)
		}
		select {
		case <-changed:
		case <-p.ended:
			over = true // and one more look
		case <-timeout:
			p.t.Fatalf("no sign of %s", what)
		}
	}
}

// awaitMessage is await for a line with that message.
func (p *process) awaitMessage(message string) record {
	p.t.Helper()
	return p.await("the message "+message, func(r record) bool { return r["msg"] == message })
}

// address is where a listener listens, the first of its addresses.
func (p *process) address(listener string) string {
	p.t.Helper()
	r := p.await("listener "+listener, func(r record) bool { return r["msg"] == "listening" && r["listener"] == listener })
	return fmt.Sprint(r["address"])
}
