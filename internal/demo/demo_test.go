package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"fairlead/internal/terminal"
)

// patience only ends a test that hangs.
const patience = 30 * time.Second

// screen shows what was printed so far.
type screen struct {
	sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.Lock()
	defer s.Unlock()
	return s.text.String()
}

// await waits for text on the screen, and returns what its parentheses hold.
func (s *screen) await(t *testing.T, pattern string) string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	for timeout := time.After(patience); ; {
		if m := wanted.FindStringSubmatch(s.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-s.changed:
		case <-timeout:
			t.Fatalf("no %s on the screen:\n%s", pattern, s.String())
		}
	}
}

func TestRun(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	out := newScreen()
	var log bytes.Buffer
	over := make(chan error, 1)
	go func() {
		over <- Run(ctx, Options{Version: "1.2.3", Program: "./fairlead", Out: out, Log: &log, FEs: 2, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"})
	}()
	address := out.await(t, `leads clients of (127\.0\.0\.1:[0-9]+) to 2 stand-in front ends`)
	out.await(t, "fe1 is up")
	out.await(t, "fe2 is up")
	socket := out.await(t, `\./fairlead --socket (\S+) status --watch`)
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("the socket that is promised: %v", err)
	}
	db, err := sql.Open("mysql", "root@tcp("+address+")/")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRow("select @@hostname").Scan(&name); err != nil {
		t.Fatal(err)
	}
	out.await(t, `session 1  root from 127\.0\.0\.1:[0-9]+ with Go-MySQL-Driver is led to `+name)
	db.Close()
	out.await(t, `session 1  root from .* has left `+name)
	end()
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the demonstration does not end")
	}
	if log.Len() > 0 || !strings.Contains(out.String(), "the end") {
		t.Errorf("log: %s\nscreen: %s", log.String(), out.String())
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestOptions(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, o := range map[string]Options{
		"from 1 to 64":           {FEs: 0, Listen: "127.0.0.1:0"},
		"not 65":                 {FEs: 65, Listen: "127.0.0.1:0"},
		`--listen "9030"`:        {FEs: 1, Listen: "9030"},
		`--admin "x"`:            {FEs: 1, Listen: "127.0.0.1:0", Admin: "x"},
		"address already in use": {FEs: 1, Listen: taken.Addr().String()},
		"admin can't listen on":  {FEs: 1, Listen: "127.0.0.1:0", Admin: taken.Addr().String()},
	} {
		o.Out, o.Log = io.Discard, io.Discard
		if err := Run(t.Context(), o); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestPlan: one front end is well at any time, each blow is of use, and the seed decides.
func TestPlan(t *testing.T) {
	for size := 2; size <= 5; size++ {
		p, same := newPlan(size, 7), newPlan(size, 7)
		sick := make([]bool, size)
		var seen [heal + 1]int
		for range 2000 {
			pause, fe, b, ok := p.next()
			if pause2, fe2, b2, _ := same.next(); pause2 != pause || fe2 != fe || b2 != b {
				t.Fatal("the same seed gives something else")
			}
			if !ok || pause < shortestPause || pause > longestPause {
				t.Fatalf("a pause of %v, %v", pause, ok)
			}
			if (b == heal) != sick[fe] {
				t.Fatalf("%s happens to one whose being sick is %v", blowTexts[b], sick[fe])
			}
			sick[fe] = b != heal
			seen[b]++
			well := 0
			for _, s := range sick {
				if !s {
					well++
				}
			}
			if well == 0 {
				t.Fatal("nobody is well")
			}
		}
		for b, n := range seen {
			if n < 50 {
				t.Errorf("%d front ends: %q happened %d times", size, blowTexts[b], n)
			}
		}
	}
	if _, _, _, ok := newPlan(1, 1).next(); ok {
		t.Error("something happens to the only one")
	}
}

func TestFeed(t *testing.T) {
	var out bytes.Buffer
	f := newFeed(&out, terminal.Style{})
	f.say(terminal.Red, "%d is %s", 1, "down")
	f.print("two\n")
	f.close()
	if !regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{3}  1 is down\ntwo\n$`).MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
}

// stopped is a terminal that takes nothing until it is let go on.
type stopped struct {
	goOn chan struct{}
	text bytes.Buffer
}

func (s *stopped) Write(b []byte) (int, error) {
	<-s.goOn
	return s.text.Write(b)
}

// TestFeedNeverWaits: a terminal stopped by Ctrl-S costs lines, and holds nobody up.
func TestFeedNeverWaits(t *testing.T) {
	out := &stopped{goOn: make(chan struct{})}
	f := newFeed(out, terminal.Style{})
	for range feedWaiting + 100 {
		f.print("x\n")
	}
	close(out.goOn)
	f.close()
	if n := strings.Count(out.text.String(), "x\n"); n < feedWaiting || n > feedWaiting+1 {
		t.Errorf("%d lines", n)
	}
	if !strings.Contains(out.text.String(), "lines lost") {
		t.Error("the loss is not told")
	}
}
