//go:build linux

package main

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// report gathers what was measured.
func (b *bench) report() report {
	r := report{Date: time.Now().UTC().Truncate(time.Second), Machine: b.machine(), Settings: b.settings,
		Versions: b.versions(), Notes: b.notes}
	for _, c := range b.cases {
		result := caseResult{Load: c.Load, Key: c.Key, Title: c.Title}
		for _, p := range b.peers {
			key := resultKey{c.Key, p.name}
			own := peerResult{Name: p.name, Title: p.title, Rival: p.rival,
				Rounds: b.results[key], Median: medians(b.results[key])}
			for _, err := range b.failures[key] {
				own.Errors = append(own.Errors, err.Error())
			}
			result.Peers = append(result.Peers, own)
		}
		r.Cases = append(r.Cases, result)
	}
	r.Goals = judgeAll(r.Cases)
	return r
}

func (b *bench) machine() machine {
	m := machine{Layout: b.layout, Descriptors: b.limit, Kernel: "unknown"}
	if usable, err := usableProcessors(); err == nil {
		m.Processors = len(usable)
	}
	text, _ := os.ReadFile("/proc/cpuinfo")
	m.CPU = cpuModel(text)
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}

func (b *bench) versions() []version {
	var versions []version
	for _, p := range b.peers {
		versions = append(versions, version{p.name, p.version})
	}
	if b.database != nil {
		versions = append(versions, version{"mariadb", b.database.version})
		if text, err := firstLine(context.Background(), b.database.sysbench, "--version"); err == nil {
			versions = append(versions, version{"sysbench", text})
		}
	}
	return versions
}
