//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// report is all that a run gives, as bench.json holds it.
type report struct {
	Date     time.Time    `json:"date"`
	Machine  machine      `json:"machine"`
	Settings settings     `json:"settings"`
	Versions []version    `json:"versions"`
	Cases    []caseResult `json:"cases"`
	Goals    []verdict    `json:"goals"`
	Notes    []string     `json:"notes,omitempty"`
}

// version is what one program says of itself.
type version struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// caseResult is what all peers did under one load.
type caseResult struct {
	Load  string       `json:"load"`
	Key   string       `json:"case"`
	Title string       `json:"title"`
	Peers []peerResult `json:"peers"`
}

// peerResult is what one peer did: a run for each round, null if it failed, and their medians. Median is empty when
// every run failed.
type peerResult struct {
	Name   string        `json:"peer"`
	Title  string        `json:"title"`
	Rival  bool          `json:"rival"` // fairlead's goals are measured against it
	Median measurement   `json:"median"`
	Rounds []measurement `json:"rounds"`
	Errors []string      `json:"errors,omitempty"`
}

// peer finds the result of a peer.
func (c caseResult) peer(name string) (peerResult, bool) {
	i := slices.IndexFunc(c.Peers, func(p peerResult) bool { return p.Name == name })
	if i < 0 {
		return peerResult{}, false
	}
	return c.Peers[i], true
}

// best finds the rival with the best median of a figure; names narrow the choice. A figure of 0 can't be compared
// with and is passed over.
func (c caseResult) best(figure metric, names []string) (peerResult, bool) {
	var best peerResult
	found := false
	for _, p := range c.Peers {
		value := p.Median[figure]
		if !p.Rival || value <= 0 || len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		if !found || figure.more() == (value > best.Median[figure]) {
			best, found = p, true
		}
	}
	return best, found
}

// hardest finds the rival that own compares worst with, round by round, and the ratios to it; names narrow the choice.
func (c caseResult) hardest(own peerResult, figure metric, names []string) (rival peerResult, all []float64, found bool) {
	for _, p := range c.Peers {
		if !p.Rival || len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		these := ratios(own.Rounds, p.Rounds, figure)
		if len(these) > 0 && (!found || figure.more() == (median(these) < median(all))) {
			rival, all, found = p, these, true
		}
	}
	return rival, all, found
}

var errRunsFailed = errors.New("bench: some runs failed")

// failed is an error when any run was.
func (r report) failed() error {
	count := 0
	for _, c := range r.Cases {
		for _, p := range c.Peers {
			count += len(p.Errors)
		}
	}
	if count > 0 {
		return fmt.Errorf("%w: %d", errRunsFailed, count)
	}
	return nil
}

func (r report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeFile lets write fill a new file.
func writeFile(name string, write func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := errors.Join(write(file), file.Close()); err != nil {
		return fmt.Errorf("bench: %s: %w", name, err)
	}
	return nil
}
