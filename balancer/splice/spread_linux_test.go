package splice

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crowd names the variable that makes this program a crowd of clients: "address number workers".
const crowd = "FAIRLEAD_SPLICE_CROWD"

func TestMain(m *testing.M) {
	if order := os.Getenv(crowd); order != "" {
		if err := beCrowd(order); err != nil {
			fmt.Println(err)
		}
		return
	}
	os.Exit(m.Run())
}

// beCrowd connects a number of clients, each of which reads one byte, and keeps them until its standard input ends.
func beCrowd(order string) error {
	var address string
	var number, workers int
	if _, err := fmt.Sscan(order, &address, &number, &workers); err != nil {
		return err
	}
	places := make(chan struct{}, number)
	for range number {
		places <- struct{}{}
	}
	close(places)
	failed := make(chan error, workers)
	kept := make(chan net.Conn, number) // a connection that is forgotten is closed
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range places {
				c, err := net.DialTimeout("tcp", address, hang)
				if err != nil {
					failed <- err
					return
				}
				kept <- c
				if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Println("all connected")
	_, err := io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(kept)
	return err
}

// startCrowd connects clients from another process, which has descriptors of its own, and returns once all have been greeted.
func startCrowd(t *testing.T, a Acceptor, number, workers int) (disperse func()) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(program)
	child.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", crowd, a.Address(), number, workers))
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	disperse = sync.OnceFunc(func() { stdin.Close(); _ = child.Wait() })
	t.Cleanup(disperse)
	answer := make([]byte, 256)
	n, err := stdout.Read(answer)
	if got := strings.TrimSpace(string(answer[:n])); got != "all connected" {
		t.Fatalf("the clients say %q, %v", got, err)
	}
	return disperse
}

// Long sessions spread over the loops, whether they come in one burst, which keeps all loops busy, or one by one, each to
// loops that sleep. Half of what a session is made of will do: it stays in its set-up.
func TestSessionsSpreadOverTheLoops(t *testing.T) {
	number := 10_000
	if raceDetector {
		number = 3_000 // it is slow, and knows no more than 8128 goroutines: set-ups count
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(number)+200 {
		t.Skipf("%d sessions need more descriptors than the limit of %d", number, limit.Cur)
	}
	for _, arrival := range []struct {
		name    string
		workers int
	}{{"burst", 200}, {"one by one", 1}} {
		t.Run(arrival.name, func(t *testing.T) {
			withEngine(t, Options{Kind: "loops", Loops: 4}, func(e Engine) {
				a := listenThrough(t, e, func(task Task) {
					task.WatchClient(true)
					_ = task.Client().Write([]byte("!"), time.Time{})
					_ = task.Park(time.Time{})
				})
				disperse := startCrowd(t, a, number, arrival.workers)
				counts := e.Sessions()
				if n := sessions(e); n != number || slices.Max(counts)*10 > slices.Min(counts)*12 {
					t.Errorf("the loops have %v sessions, %d in all; want %d, and none a fifth more than another", counts, n, number)
				}
				disperse()
				eventually(t, "the sessions to end", func() bool { return sessions(e) == 0 })
			})
		})
	}
}

// Where thousands come each second, a loop keeps what it accepts although another one has a few less; who comes after a
// pause, or first, goes to the lighter one.
func TestRushWidensTheMargin(t *testing.T) {
	own, other := &loop{}, &loop{}
	e := &loops{loops: []*loop{own, other}}
	own.sessions.Store(8)
	arrive := func(at time.Duration, want *loop) {
		t.Helper()
		own.arrivals.note(int64(at))
		if e.lightest(own) != want {
			t.Errorf("at %v, after %+v, the session goes to the wrong loop", at, own.arrivals)
		}
	}
	for range 10 * rushed {
		arrive(time.Second/2, other) // the first second is not over
	}
	arrive(3*time.Second/2, own)
	own.sessions.Store(20)
	arrive(3*time.Second/2, other)
	own.sessions.Store(8)
	arrive(5*time.Second/2, other) // two in the second before
	for range 10 * rushed {
		own.arrivals.note(int64(3 * time.Second))
	}
	arrive(time.Minute, other)
}
