//go:build linux

package main

import (
	"errors"
	"os"
	"runtime"
	"testing"
)

func TestRollupRSS(t *testing.T) {
	text := "559e3a000000-7ffc000 ---p 00000000 00:00 0  [rollup]\nRss:                1234 kB\nPss: 99 kB\n"
	if kilobytes, err := rollupRSS([]byte(text)); err != nil || kilobytes != 1234 {
		t.Errorf("%d, %v", kilobytes, err)
	}
	if _, err := rollupRSS([]byte("Pss: 99 kB\n")); !errors.Is(err, errNoRSS) {
		t.Errorf("without the line: %v", err)
	}
	if _, err := rollupRSS([]byte("Rss: many kB\n")); err == nil {
		t.Error("no error for a word")
	}
}

func TestFootprintGrows(t *testing.T) {
	pids := []int{os.Getpid()}
	before, err := footprintOf(pids)
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	var files []*os.File
	for range 20 {
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	m := measurement{}
	if err := before.grown(m, memoryAtOnce, pids, 10); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(block)
	runtime.KeepAlive(files)
	if each := m[memoryAtOnce]; each < size/10/2 {
		t.Errorf("%v bytes for each of 10, of %d in all", each, size)
	}
	if each := m[descriptorsPerSession]; each != 2 {
		t.Errorf("%v descriptors for each of 10, want 2", each)
	}
}
