package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fairlead/balancer"
	"fairlead/internal/config"
	"fairlead/internal/control"
	"fairlead/internal/systemd"
	"fairlead/metrics"
)

// watchAgain is how long a watched file waits, whose text may be right and which could not be put in force: a name had no address,
// an address was taken, the file could not be read.
const watchAgain = 10 * time.Second

// errNoFile is a reload of a daemon that has no file, such as that of the demonstration.
var errNoFile = errors.New("daemon: there is no file to reload")

// reloader puts new configurations in force: when it is asked to, and, if the file says so, when the file has changed.
type reloader struct {
	daemon  *Daemon
	asked   chan string
	cancel  context.CancelFunc
	running sync.WaitGroup

	one    sync.Mutex    // reload at a time; it guards what follows
	tried  config.Digest // of the text that was tried last
	failed time.Time     // when that could not be put in force, although its text may be right; else zero
	ended  bool
}

// start begins to listen to signals, and to watch the file.
func (r *reloader) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.one.Lock()
	r.tried = r.daemon.file().Digest
	r.one.Unlock()
	r.running.Add(1)
	go r.run(ctx)
}

func (r *reloader) run(ctx context.Context) {
	defer r.running.Done()
	again := time.NewTicker(watchEvery)
	defer again.Stop()
	var watched watch
	for {
		select {
		case <-ctx.Done():
			return
		case by := <-r.asked:
			_, _ = r.Reload(by) // the log has told
		case <-again.C:
			if r.daemon.file().Reload.Watch {
				r.look(watched.changed(r.daemon.file().Name))
			}
		}
	}
}

// ask has a reload made soon. One that is due already is enough.
func (r *reloader) ask(by string) {
	select {
	case r.asked <- by:
	default:
	}
}

// look reloads a file that was written to, unless its text is what it was, and one that is due for another try.
func (r *reloader) look(written bool) {
	r.one.Lock()
	tried, due, ended := r.tried, !r.failed.IsZero() && time.Since(r.failed) >= watchAgain, r.ended
	r.one.Unlock()
	if ended {
		return
	}
	if written && !due {
		digest, err := config.DigestOf(r.daemon.file().Name)
		due = err != nil || digest != tried
	}
	if due {
		_, _ = r.Reload("watch") // the log has told
	}
}

// close ends it. A reload that is under way comes to its end.
func (r *reloader) close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.running.Wait()
	r.one.Lock()
	defer r.one.Unlock()
	r.ended = true
}

// suspend keeps reloads waiting, for a new process is about to read the file; it reports false while one is under way. It ends
// with resume.
func (r *reloader) suspend() bool { return r.one.TryLock() }

// resume undoes suspend; for good, there are no reloads any more, for another process serves.
func (r *reloader) resume(forGood bool) {
	r.ended = r.ended || forGood
	r.one.Unlock()
}

// Reload reads the file and puts it in force. With an error, which is a *control.FileError if the file is the reason,
// nothing has changed. by names who asked for it, for the log.
func (r *reloader) Reload(by string) (control.Reloaded, error) {
	r.one.Lock()
	defer r.one.Unlock()
	d := r.daemon
	if r.ended {
		d.log.Warn("not reloaded: this process does not serve any more", "by", by)
		return control.Reloaded{}, balancer.ErrClosing
	}
	if h := d.herald.Load(); h != nil {
		h.tell(systemd.Reloading())
		defer func() { h.tell(systemd.Ready, systemd.Status(h.line())) }()
	}
	next, done, err := r.read()
	r.failed = time.Time{}
	if err == nil {
		err = r.apply(next)
	}
	if err != nil {
		if next != nil || r.unreadable() {
			r.failed = time.Now()
		}
		d.metrics.Reload(metrics.ReloadFailure)
		d.log.Error("the configuration was not reloaded: what was in force stays", "by", by, "error", err)
		return control.Reloaded{}, err
	}
	d.metrics.Reload(metrics.ReloadSuccess)
	d.log.Info("configuration reloaded", "by", by, "file", done.File, "changes", len(done.Changes))
	for _, c := range done.Changes {
		if c.Restart {
			d.log.Warn("a change needs a restart", "change", c.String())
		} else {
			d.log.Info("changed", "change", c.String())
		}
	}
	for _, w := range done.Warnings {
		d.log.Warn("the configuration looks odd", "problem", w)
	}
	return done, nil
}

// Diff tells what Reload would do.
func (r *reloader) Diff() (control.Reloaded, error) {
	r.one.Lock()
	defer r.one.Unlock()
	tried := r.tried
	defer func() { r.tried = tried }()
	_, done, err := r.read()
	return done, err
}

// read reads and checks the file, and compares it with what is in force.
func (r *reloader) read() (*config.File, control.Reloaded, error) {
	d := r.daemon
	if d.options.Load == nil {
		return nil, control.Reloaded{}, errNoFile
	}
	if digest, err := config.DigestOf(d.file().Name); err == nil {
		r.tried = digest
	}
	next, err := d.options.Load()
	if err != nil {
		return nil, control.Reloaded{}, &control.FileError{Message: err.Error()}
	}
	r.tried = next.Digest
	done := control.Reloaded{File: next.Name, Changes: d.file().Diff(next)}
	for _, w := range next.Warnings {
		done.Warnings = append(done.Warnings, w.Error())
	}
	return next, done, nil
}

// unreadable tells whether the file can't be read now.
func (r *reloader) unreadable() bool {
	_, err := config.DigestOf(r.daemon.file().Name)
	return err != nil
}

// apply puts a file in force, in one step: what can fail comes before.
func (r *reloader) apply(next *config.File) error {
	d := r.daemon
	prepared, err := d.balancer.Prepare(context.Background(), next.Balancer)
	if err != nil {
		return unapplied(next, err)
	}
	d.inForce.Store(next.Keeping(d.file()))
	d.logging.set(next.Log)
	prepared.Apply()
	for _, p := range d.balancer.Pools() {
		for _, b := range p.Backends() {
			d.fleet.Reconfigure(b, d.probeConfig(b))
		}
	}
	d.finding.follow(d)
	d.told.nudge()
	return nil
}

// unapplied is why a file that is right could not be put in force.
func unapplied(next *config.File, err error) error {
	var lookup *balancer.LookupError
	err = explain(next, err)
	var listen ListenErrors
	if errors.As(err, &listen) || errors.As(err, &lookup) {
		return &control.FileError{Message: err.Error()}
	}
	return fmt.Errorf("daemon: %w", err)
}
