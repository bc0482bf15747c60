package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead/balancer"
	"fairlead/internal/fakefe"
)

// TestLogIsRotated: sessions end all the time while the log's file is renamed and SIGHUP opens another one, again and
// again: each session has exactly one line, whole, in one of the files.
func TestLogIsRotated(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fairlead.log")
	fe := startFE(t, fakefe.Config{})
	// The harness reads the log, so that this process, whose log is a file, is watched by its socket alone.
	config := writeConfig(t, socketDir(t), inFront(fe)+"[log]\nformat = \"json\"\nfile = \""+path+"\"\n[admin]\nlisten = \"\"\nsocket = \"s\"\n[shutdown]\ngrace = \"0s\"\n")
	p := spawn(t, config)
	p.socket = filepath.Join(filepath.Dir(config), "s")
	p.poll("an answer", func() bool { return p.command("status").code == 0 })
	address := p.status().Listeners[0].Addresses[0].String()

	ended := 0
	logIn := func() {
		db := openDB(t, "root@tcp("+address+")/")
		ask(t, db, "select 1")
		db.Close()
		ended++
	}
	const rotations = 10
	for i := range rotations {
		for range 10 {
			logIn()
		}
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		logIn() // into the file that is renamed already
		p.signal(syscall.SIGHUP)
		p.poll("the new file", func() bool { _, err := os.Stat(path); return err == nil })
	}
	logIn()
	p.signal(syscall.SIGTERM)
	p.exits(0)

	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != rotations+1 {
		t.Fatalf("%v, %v", files, err)
	}
	sessions, others := map[float64]bool{}, map[string]int{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		for line := range strings.Lines(string(text)) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%s: %q: %v", name, line, err)
			}
			if r["msg"] != "session" {
				others[fmt.Sprint(r["msg"])]++
				continue
			}
			id := r["connection_id"].(float64)
			if sessions[id] {
				t.Errorf("session %v has two lines", id)
			}
			sessions[id] = true
		}
	}
	if len(sessions) != ended {
		t.Errorf("%d lines for %d sessions", len(sessions), ended)
	}
	if others["serving"] != 1 || others["ended"] != 1 || others["the log's file is opened anew"] != rotations {
		t.Errorf("other lines: %v", others)
	}
}

// TestBlockedLogHoldsNobodyUp: nobody reads what fairlead writes to standard error, and the pipe is full. Backends go down
// and come back, sessions begin and end, orders are taken, and the end comes in time.
func TestBlockedLogHoldsNobodyUp(t *testing.T) {
	one, two := startFE(t, fakefe.Config{Name: "one"}), startFE(t, fakefe.Config{Name: "two"})
	dir := socketDir(t)
	config := writeConfig(t, dir, inFront(one, two)+"[admin]\nlisten = \"\"\nsocket = \"s\"\n[log]\nlevel = \"debug\"\n[shutdown]\ngrace = \"0s\"\ndrain = \"0s\"\n")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	fill(t, write)
	cmd := exec.CommandContext(t.Context(), binary, "-c", config)
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: cmd, config: config, socket: filepath.Join(dir, "s"), ended: make(chan struct{})}
	go func() { defer close(p.ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-p.ended })
	p.poll("an answer", func() bool { return p.command("status").code == 0 })
	p.poll("both to be up", func() bool {
		s := p.status()
		return backend(t, s, "one").State == balancer.Up && backend(t, s, "two").State == balancer.Up
	})
	db := openDB(t, "root@tcp("+p.status().Listeners[0].Addresses[0].String()+")/")
	db.SetMaxIdleConns(0) // each question is a session
	for range 3 {
		suffer(t, two, fakefe.Kill)
		p.poll("two to be down", func() bool { return backend(t, p.status(), "two").State == balancer.Down })
		for range 100 {
			if got := ask(t, db, "select @@hostname"); got != "one" {
				t.Fatalf("%s answers", got)
			}
		}
		p.command("drain", "one").wants(t, 0, "is draining", "")
		p.command("enable", "one").wants(t, 0, "is up", "")
		if err := two.Restore(); err != nil {
			t.Fatal(err)
		}
		p.poll("two to be up", func() bool { return backend(t, p.status(), "two").State == balancer.Up })
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatal("the end waits for the log")
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// fill fills a pipe, so that the next write to it waits.
func fill(t *testing.T, write *os.File) {
	t.Helper()
	fd := int(write.Fd()) // blocking from here on, as a child has it
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for rubbish := bytes.Repeat([]byte{'\n'}, 4096); len(rubbish) > 0; {
		if _, err := syscall.Write(fd, rubbish); err == syscall.EAGAIN {
			rubbish = rubbish[:len(rubbish)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
}

// TestLogFileFaults: a log that can't be written is an error with its line, before anything starts.
func TestLogFileFaults(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	config := writeConfig(t, t.TempDir(), "[log]\nfile = \"/nonexistent/fairlead.log\"\n"+inFront(fe))
	for _, command := range []string{"check", "run"} {
		fairlead(t, command, "-c", config).wants(t, 2, "", config+":2: file: stat /nonexistent: no such file or directory")
	}
}

// TestSocketAccess: who may give orders is as the file says, and what can't be had is an error at the start.
func TestSocketAccess(t *testing.T) {
	fe := startFE(t, fakefe.Config{})
	dir := socketDir(t)
	text := func(admin string) string {
		return writeConfig(t, dir, "[admin]\nlisten = \"\"\nsocket = \"s\"\n"+admin+"\n"+inFront(fe))
	}
	fairlead(t, "run", "-c", text(`socket_mode = "0666"`)).wants(t, 2, "", "lets everybody on this host give orders")
	fairlead(t, "run", "-c", text(`socket_group = "no-such-group"`)).wants(t, 2, "", `:4: socket_group: this host knows no group "no-such-group"`)
	fairlead(t, "check", "-c", text(`socket_owner = "no-such-user"`)).wants(t, 2, "", `:4: socket_owner: this host knows no user "no-such-user"`)
	if os.Geteuid() != 0 {
		fairlead(t, "run", "-c", text(`socket_owner = "0"`)).wants(t, 2, "", "that takes root")
		return
	}
	p := spawn(t, text("socket_mode = \"0620\"\nsocket_owner = \"54321\"\nsocket_group = \"12345\""))
	p.socket = filepath.Join(dir, "s")
	p.poll("an answer", func() bool { return p.command("status").code == 0 })
	info, err := os.Stat(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o620 || s.Uid != 54321 || s.Gid != 12345 {
		t.Errorf("mode %v, owner %d, group %d", info.Mode(), s.Uid, s.Gid)
	}
}
