package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairlead/internal/control"
	"fairlead/internal/fakefe"
)

const (
	// chaosArguments has the chaos go on for longer: --minutes, and --seed for one that was printed. make chaos sets it.
	chaosArguments = "FAIRLEAD_CHAOS"
	// chaosPatience ends what hangs: longer than any deed.
	chaosPatience = time.Minute
	// aShortAct and aLongAct are how long deeds go on until all is healed and counted: in the tests, and in make chaos.
	aShortAct, aLongAct = 8 * time.Second, 20 * time.Second
)

// chaos is a fairlead in front of stand-in front ends, to which a script does things while clients check every byte.
type chaos struct {
	t         *testing.T
	seed      uint64
	began     time.Time
	program   string // with a clock that can be made to jump
	clock     wrongness
	fes       []*fakefe.FE
	ship      *process
	serving   serving
	forgotten forgotten
	configured
	address   string // the listener's
	logFile   string
	control   *control.Client
	judge     *judge
	gate      sync.RWMutex // held by clients while they do something, closed by whoever counts
	strangers sync.WaitGroup
	played    strings.Builder // the script so far
}

// TestChaos: whatever happens to front ends and to fairlead, no login fails while a fit front end is there, every session
// hears its own answers and nothing else, byte for byte, the counts are exact, and nothing is left of it all.
func TestChaos(t *testing.T) {
	options := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fresh := uint64(22) // with deeds of all kinds, and among the other tests always the same: make chaos finds what they do not
	if os.Getenv(chaosArguments) != "" {
		fresh = uint64(time.Now().UnixNano()) % 1e6
	}
	seed := options.Uint64("seed", fresh, "what the script follows from")
	minutes := options.Float64("minutes", 0, "how long it goes on; 0 is short")
	clients := options.Int("clients", 42, "how many there are")
	if err := options.Parse(strings.Fields(os.Getenv(chaosArguments))); err != nil {
		t.Fatal(err)
	}
	program := buildWithWrongClock(t)
	if os.Getenv(chaosInside) == "" && isolated(t, program, *seed) {
		return
	}
	c := startChaos(t, program, *seed)
	c.run(*clients, time.Duration(*minutes*float64(time.Minute)))
}

// startChaos starts the front ends and fairlead.
func startChaos(t *testing.T, program string, seed uint64) *chaos {
	t.Helper()
	const frontEnds = 5
	dir := socketDir(t)
	if os.Getenv(chaosInside) != "" {
		settleIn(t, dir)
	}
	c := &chaos{t: t, seed: seed, began: time.Now(), program: program, clock: newWrongness(t, t.TempDir()), judge: newJudge(frontEnds),
		logFile: filepath.Join(dir, "log"), address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	var addresses []string
	var httpPort int
	c.fes, addresses, httpPort = startWithHealth(t, frontEnds)
	c.ship = &process{t: t, ended: make(chan struct{}), admin: fmt.Sprintf("127.0.0.1:%d", freePort(t)), socket: filepath.Join(dir, "control.sock")}
	c.control = control.NewClient(c.ship.socket)
	c.judge.rebalances = seed%rebalancing == 0
	c.configured = configured{c: c, dir: t.TempDir(), addresses: addresses, policy: "least-connections", more: "slow_start = \"1s\"\n",
		weights: slices.Repeat([]int{1}, frontEnds), out: make([]bool, frontEnds), probed: make([]float64, frontEnds),
		probe: quickProbe + deepProbe(t) + fmt.Sprintf("http = \"http://{host}:%d/api/health\"\n", httpPort)}
	if c.judge.rebalances {
		c.configured.more += "rebalance = \"idle\"\n"
	}
	c.clock.set(firstJump)
	c.launch(c.configured.write())
	c.isObeyed()
	return c
}

// launch starts fairlead with its log in a file, and waits until it is ready.
func (c *chaos) launch(config string) {
	c.t.Helper()
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	p := c.ship
	p.config, p.cmd = config, exec.Command(c.program, "run", "-c", config)
	p.mu.changed = make(chan struct{})
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), clockVariable+"="+c.clock.path)
	endWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // the status is in ProcessState
	}()
	c.serving.set(p.cmd.Process.Pid, p.ended)
	c.t.Cleanup(func() {
		_ = c.signal(syscall.SIGKILL)
		_ = p.cmd.Process.Kill()
		<-p.ended
		if text := c.log(); c.t.Failed() || strings.Contains(text, "DATA RACE") || strings.Contains(text, "panic") {
			c.t.Errorf("seed %d; the script so far:\n%s\nthe end of fairlead's log:\n%s", c.seed, c.played.String(), c.telling(text))
		}
	})
	p.awaitReady()
}

func (c *chaos) signal(s syscall.Signal) error           { return syscall.Kill(c.serving.pid(), s) }
func (c *chaos) get(page string) (code int, body string) { return c.ship.get(page) }

func (c *chaos) patiently() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), chaosPatience)
}

// log is what fairlead has logged, as far as there was room for it.
func (c *chaos) log() string {
	b, err := os.ReadFile(c.logFile)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// telling is the end of a log, without the lines of sessions but for those that violations name.
func (c *chaos) telling(log string) string {
	const most = 32 << 10
	var b strings.Builder
	verdict := c.judge.verdict()
	for line := range strings.Lines(log) {
		var r record
		if json.Unmarshal([]byte(line), &r) == nil && r["msg"] == "session" && !strings.Contains(verdict, fmt.Sprint(r["client"])) {
			continue
		}
		b.WriteString(line)
	}
	all := b.String()
	return all[max(0, len(all)-most):]
}

// run lets acts follow each other for so long, two of them at least.
func (c *chaos) run(clients int, long time.Duration) {
	t := c.t
	length := aShortAct
	if long > 0 {
		length = aLongAct
	}
	c.allUp()
	before := c.footprint()
	fmt.Printf("chaos: seed %d, %d clients, %d front ends; at first %v\n", c.seed, clients, len(c.fes), before)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	var crowd sync.WaitGroup
	crowd.Go(func() { c.judge.standsStill(ctx) })
	for i := range clients {
		k := &chaosClient{habits: chaosHabits[i%len(chaosHabits)], c: c, number: i, random: rand.New(rand.NewPCG(c.seed, uint64(i)))}
		crowd.Go(func() { k.live(ctx) })
	}
	began := time.Now()
	for act := uint64(1); act <= 2 || time.Since(began) < long; act++ {
		c.play(act, length)
		if c.judge.verdict() != "" {
			break
		}
		c.count()
		fmt.Printf("act %d, %v: %v; %v\n", act, time.Since(began).Round(time.Second), c.judge.tally(), c.footprint())
		if c.judge.verdict() != "" || strings.Contains(c.log(), "DATA RACE") {
			break
		}
		if err := os.Truncate(c.logFile, 0); err != nil { // for long runs
			t.Fatal(err)
		}
	}
	leave()
	crowd.Wait()
	if t.Failed() || c.judge.verdict() != "" {
		t.Fatalf("with seed %d:\n%s", c.seed, c.judge.verdict())
	}
	c.restores(before)
	c.addsUp()
	c.end()
	if verdict := c.judge.verdict(); verdict != "" {
		t.Errorf("with seed %d:\n%s", c.seed, verdict)
	}
}

// play does what an act's script says, until a violation.
func (c *chaos) play(act uint64, length time.Duration) {
	possible := slices.DeleteFunc(deeds(), func(d *deed) bool { return d.isolated && os.Getenv(chaosInside) == "" })
	all := write(c.seed, act, length, len(c.fes), possible)
	fmt.Fprintf(&c.played, "act %d\n", act)
	began := time.Now()
	ends := make(map[int]func()) // of what is being done, by front end
	broken := false
	for _, q := range all {
		if !q.ends && broken {
			continue
		}
		timer := time.NewTimer(time.Until(began.Add(q.at)))
		select {
		case <-timer.C:
		case <-c.judge.violate: // what has begun is ended
			broken = true
			if !q.ends {
				continue
			}
		case <-c.serving.ended():
			c.t.Fatalf("with seed %d: fairlead has ended\n%s", c.seed, c.judge.verdict())
		}
		timer.Stop()
		fmt.Fprintf(&c.played, "%s %v\n", time.Now().Format("15:04:05.000"), q)
		if err := c.do(q, ends); err != nil {
			c.judge.violation("%v: %v", q, err)
		}
	}
}

// do does what one line says.
func (c *chaos) do(q cue, ends map[int]func()) error {
	if q.ends {
		end := ends[q.fe]
		if end == nil {
			return nil // it was not begun
		}
		delete(ends, q.fe)
		defer end()
		if q.deed.end == nil {
			return nil
		}
		return q.deed.end(c, q)
	}
	c.judge.deed()
	ends[q.fe] = func() {}
	if !q.deed.own || q.deed.shortage {
		ends[q.fe] = c.judge.begin(span{what: q.deed.name, fe: q.fe, kills: q.deed.kills, atRest: q.deed.atRest, drops: q.deed.drops, refuses: q.deed.refuses})
	}
	return q.deed.begin(c, q)
}

// allUp waits until every front end is up.
func (c *chaos) allUp() {
	c.t.Helper()
	c.eventually("every backend to be up", func() error {
		ctx, cancel := c.patiently()
		defer cancel()
		s, err := c.control.Status(ctx)
		if err != nil {
			return err
		}
		for _, b := range s.Pools[0].Backends {
			if !b.Removed && b.State.String() != "up" {
				return fmt.Errorf("backend %s is %v: %s", b.Name, b.State, b.Reason)
			}
		}
		return nil
	})
}

// eventually looks again and again until there is no error.
func (c *chaos) eventually(what string, look func() error) {
	c.t.Helper()
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for timeout := time.After(chaosPatience); ; {
		err := look()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-c.serving.ended():
			c.t.Fatalf("with seed %d: fairlead has ended; waited for %s: %v\n%s", c.seed, what, err, c.judge.verdict())
		case <-timeout:
			c.t.Fatalf("with seed %d: waited in vain for %s: %v\n%s", c.seed, what, err, c.judge.verdict())
		}
	}
}
