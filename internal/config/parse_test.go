package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sockaddr "github.com/hashicorp/go-sockaddr"
)

// minimal is the shortest file that serves something.
const minimal = `
[[listener]]
name = "mysql"
bind = "127.0.0.1:9030"
pool = "fe"
[[pool]]
name = "fe"
[[pool.backend]]
address = "fe1:9030"
`

// fixed is a host whose addresses do not depend on the machine.
var fixed = host{interfaces: func() (sockaddr.IfAddrs, error) {
	eth0 := net.Interface{Index: 2, Name: "eth0"}
	return sockaddr.IfAddrs{
		{SockAddr: sockaddr.MustIPv4Addr("10.0.0.1/24"), Interface: eth0},
		{SockAddr: sockaddr.MustIPv4Addr("10.0.0.2/24"), Interface: eth0},
		{SockAddr: sockaddr.MustIPv6Addr("2001:db8::1/64"), Interface: eth0},
	}, nil
}}

// TestBadFiles: each file in testdata/bad begins with the exact errors that it gives, one on each line after "#! ",
// without the file's name. testdata/warned is the same for files that give warnings only.
func TestBadFiles(t *testing.T) {
	for _, kind := range []string{"bad", "warned"} {
		files, err := filepath.Glob(filepath.Join("testdata", kind, "*.toml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files: %v", kind, err)
		}
		for _, file := range files {
			t.Run(kind+"/"+strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
				data, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := outcome(t, data, kind == "warned"), expected(string(data)); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		}
	}
}

// outcome is what a file gives: errors, or warnings, one on each line.
func outcome(t *testing.T, data []byte, warned bool) string {
	f, err := parse("FILE", data, fixed)
	text := ""
	switch {
	case err != nil && warned:
		t.Fatalf("an error: %v", err)
	case err != nil:
		text = err.Error()
	case warned:
		text = Errors(f.Warnings).Error()
	default:
		return "no error"
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, "FILE:")
	}
	return strings.Join(lines, "\n")
}

func expected(text string) string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "#! "); ok {
			lines = append(lines, rest)
		}
	}
	return strings.Join(lines, "\n")
}
