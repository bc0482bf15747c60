package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"fairlead/internal/control"
)

// configured is what fairlead's file says.
type configured struct {
	c         *chaos
	dir       string
	addresses []string
	policy    string
	probe     string
	more      string // keys of the pool that change little
	weights   []int
	out       []bool    // the backends that are left out
	probed    []float64 // how often each one had been probed when it was left out last
}

const (
	// rebalancing says that one run of so many moves sessions of its own accord, between two questions.
	rebalancing = 4
	// chaosPipes is how many pipes each event loop may keep.
	chaosPipes = 16
)

// text is the file.
func (f *configured) text() string {
	var b strings.Builder
	// An upgraded process' sessions may last.
	fmt.Fprintf(&b, "[shutdown]\ngrace = \"0s\"\ndrain = \"1h\"\n[admin]\nlisten = %q\nsocket = %q\n[log]\nformat = \"json\"\n[engine]\npipes = %d\n",
		f.c.ship.admin, f.c.ship.socket, chaosPipes)
	fmt.Fprintf(&b, "[[listener]]\nname = \"mysql\"\nbind = %q\npool = \"fe\"\nlogin_timeout = \"30s\"\n", f.c.address)
	fmt.Fprintf(&b, "[[pool]]\nname = \"fe\"\npolicy = %q\nconnect_timeout = \"1s\"\ngreeting_timeout = \"%v\"\n%s[pool.probe]\n%s", f.policy, greetingTimeout, f.more, f.probe)
	for i, a := range f.addresses {
		if !f.out[i] {
			fmt.Fprintf(&b, "[[pool.backend]]\nname = \"%d\"\naddress = %q\nweight = %d\n", i+1, a, f.weights[i])
		}
	}
	return b.String()
}

// write writes the file, in one step as editors do, and returns its path.
func (f *configured) write() string {
	path := filepath.Join(f.dir, "config.toml")
	if err := os.WriteFile(path+".new", []byte(f.text()), 0o600); err != nil {
		f.c.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		f.c.t.Fatal(err)
	}
	return path
}

// reload has the file put in force.
func (c *chaos) reload() error {
	c.configured.write()
	ctx, cancel := c.patiently()
	defer cancel()
	_, err := c.control.Reload(ctx)
	return err
}

// reloadAltered changes what no session and no login must notice, and reloads, now and then several times.
func reloadAltered(c *chaos, q cue) error {
	random := rand.New(rand.NewPCG(q.pick, 0))
	for range 1 + random.IntN(3) {
		f := &c.configured
		policies := []string{"least-connections", "round-robin", "source-hash"}
		if c.judge.rebalances { // which has no meaning with the last one
			policies = policies[:2]
		}
		f.policy = policies[random.IntN(len(policies))]
		for i := range f.weights {
			f.weights[i] = 1 + random.IntN(3)
		}
		f.more = fmt.Sprintf("keepalive = \"%ds\"\nmax_sessions = %d\nslow_start = \"%ds\"\n", 30+random.IntN(30), 1000+random.IntN(1000), random.IntN(3))
		if c.judge.rebalances {
			f.more += "rebalance = \"idle\"\n"
		}
		if err := c.reload(); err != nil {
			return err
		}
	}
	return nil
}

// reloadBroken reloads a file that can't be put in force, after which nothing has changed.
func reloadBroken(c *chaos, q cue) error {
	path := c.configured.write()
	text := c.configured.text()
	broken := []string{"", text[:len(text)/2], text + "\nintervall = 3\n", strings.Replace(text, "weight = ", "weight = -", 1), "\x00" + text}[q.pick%5]
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		return err
	}
	ctx, cancel := c.patiently()
	defer cancel()
	_, err := c.control.Reload(ctx)
	c.configured.write()
	var wrong *control.FileError
	if !errors.As(err, &wrong) {
		return fmt.Errorf("a broken file was put in force: %w", err)
	}
	return nil
}

// leaveOut takes a backend out of the file, or puts it back.
func leaveOut(out bool) func(c *chaos, q cue) error {
	return func(c *chaos, q cue) error {
		if out {
			c.configured.probed[q.fe] = c.probes(q.fe)
		}
		c.configured.out[q.fe] = out
		if err := c.reload(); err != nil || out {
			return err
		}
		const few = 5 // its series may have come to as many anew
		if before := c.configured.probed[q.fe]; before < few || c.probes(q.fe) < before {
			c.forgotten.may = true
		}
		return nil
	}
}

func reloadDeeds() []*deed {
	return []*deed{
		{name: "reload", weight: 3, own: true, begin: reloadAltered},
		{name: "reload of a broken file", weight: 2, own: true, begin: reloadBroken},
		{name: "left out of the file", weight: 3, shortest: 50 * time.Millisecond, longest: 4 * time.Second, begin: leaveOut(true), end: leaveOut(false)},
	}
}
