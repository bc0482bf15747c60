package probe

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"fairlead/internal/clock"
	"fairlead/metrics"
)

// What the zero values of a discovery's [Config] stand for.
const (
	DefaultDiscoveryInterval = 10 * time.Second
	DefaultDiscoveryTimeout  = 2 * time.Second
)

// discoveryRetry is the pause after the first time that no seed gave a list, where the interval is longer; each further
// one is twice as long, up to the interval: what is down for a moment is soon found again, and a password that is denied
// is not tried each second for ever.
const discoveryRetry = time.Second

// DiscoveryOptions say what a Discovery asks, and whom it tells. Found, Log and Metrics must be set.
type DiscoveryOptions struct {
	// Pool is how logs and metrics call it.
	Pool string
	// Config says how to log in. Interval is the time from one asking to the next, Timeout that which each seed may
	// take; 0 means the defaults for discovery. What is about health has no meaning here.
	Config Config
	// Seeds are those to ask, as host:port, until others are known.
	Seeds []string
	// Found is told of every list, always by the same goroutine. With an error the list is not believed: the next seed is
	// asked, and the latest list stays in force.
	Found func(Listing) error

	Log     *slog.Logger
	Metrics *metrics.Metrics
}

// Discovery asks a cluster for its front ends, again and again, in a goroutine of its own. An error or an empty answer
// leaves the latest list in force, and all members of that are seeds too: the list survives the loss of all that are
// configured.
type Discovery struct {
	options DiscoveryOptions
	inquiry *inquiry
	log     *slog.Logger
	metrics *metrics.Discovery

	latest  Listing       // the one in force; the goroutine's own, as are the next two
	trouble string        // the kind of what was logged last; empty while all is well
	retry   time.Duration // the next pause after a failure

	health struct {
		sync.Mutex
		DiscoveryHealth
	}

	first  chan struct{} // closed after the first round
	done   chan struct{} // closed when run has returned
	cancel context.CancelFunc
}

// DiscoveryHealth tells how the asking goes.
type DiscoveryHealth struct {
	Pool    string `json:"pool"`
	Members int    `json:"members"` // of the list in force
	// Seed gave the latest good answer, at Answered; empty and zero before the first one.
	Seed     string    `json:"seed"`
	Answered time.Time `json:"answered"`
	// Error is why there was none after that, Failing since when, and Failures how many rounds; all empty while all is well.
	Error    string    `json:"error,omitempty"`
	Failing  time.Time `json:"failing,omitzero"`
	Failures int       `json:"failures,omitempty"`
}

// StartDiscovery begins to ask at once.
func StartDiscovery(o DiscoveryOptions) *Discovery {
	d := newDiscovery(o)
	d.start()
	return d
}

func newDiscovery(o DiscoveryOptions) *Discovery {
	setDefault(&o.Config.Interval, DefaultDiscoveryInterval)
	return &Discovery{options: o, inquiry: newInquiry(o.Config), log: o.Log.With("pool", o.Pool), metrics: o.Metrics.Discovery(o.Pool),
		retry: discoveryRetry, first: make(chan struct{}), done: make(chan struct{})}
}

func (d *Discovery) start() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go d.run(ctx)
}

// Health tells how the asking goes.
func (d *Discovery) Health() DiscoveryHealth {
	d.health.Lock()
	defer d.health.Unlock()
	h := d.health.DiscoveryHealth
	h.Pool = d.options.Pool
	now := time.Now()
	h.Answered, h.Failing = clock.Told(h.Answered, now), clock.Told(h.Failing, now)
	return h
}

// note keeps the result of a round: a list, or why there is none.
func (d *Discovery) note(now Listing, err error) {
	d.health.Lock()
	defer d.health.Unlock()
	h := &d.health.DiscoveryHealth
	if err == nil {
		*h = DiscoveryHealth{Members: len(now.Frontends), Seed: now.Seed, Answered: time.Now()}
		return
	}
	if h.Failures++; h.Failures == 1 {
		h.Failing = time.Now()
	}
	h.Error = err.Error()
}

// First is closed when all seeds have been asked once, or one has answered.
func (d *Discovery) First() <-chan struct{} { return d.first }

// Close ends the asking and waits until it has ended: Found is not called after that. It may be called again.
func (d *Discovery) Close() {
	d.cancel()
	<-d.done
}

func (d *Discovery) run(ctx context.Context) {
	defer close(d.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begun := d.first; ; begun = nil {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		pause := d.round(ctx)
		if begun != nil {
			close(begun)
		}
		timer.Reset(max(0, pause-time.Since(start)))
	}
}

// round asks once, and returns the time from its beginning to the next one's.
func (d *Discovery) round(ctx context.Context) time.Duration {
	listing, err := d.inquiry.ask(ctx, seedOrder(d.latest.Seed, d.options.Seeds, d.latest.addresses()), d.options.Found)
	var none SeedErrors
	switch {
	case errors.As(err, &none):
		return d.failed(none)
	case err != nil: // the end
		return 0
	}
	d.metrics.Asked(metrics.DiscoverySuccess)
	d.metrics.Members(len(listing.Frontends))
	d.note(listing, nil)
	d.tell(listing)
	d.latest, d.trouble, d.retry = listing, "", discoveryRetry
	// Only ever shorter than the interval, which is the promise.
	return time.Duration(float64(d.options.Config.Interval) * (1 - jitter*rand.Float64()))
}

// failed takes note that the latest list stays in force.
func (d *Discovery) failed(err SeedErrors) time.Duration {
	result := metrics.DiscoveryFailure
	if slices.ContainsFunc(err, func(e *SeedError) bool { return e.listed }) {
		result = metrics.DiscoveryRejected
	}
	d.metrics.Asked(result)
	d.note(Listing{}, err)
	if kind := err.kind(); kind != d.trouble {
		d.trouble = kind
		d.log.Warn("no list of front ends: keeping what is known", "known", len(d.latest.Frontends), "reason", err.words())
	}
	pause := min(d.retry, d.options.Config.Interval)
	d.retry = 2 * pause
	return vary(pause)
}

// tell logs what has changed. Changes of roles are the pool's to tell.
func (d *Discovery) tell(now Listing) {
	if d.trouble != "" {
		d.log.Info("front ends are listed again", "seed", now.Seed)
	}
	was, is := d.latest.addresses(), now.addresses()
	joined, left := without(is, was), without(was, is)
	switch {
	case len(was) == 0:
		d.log.Info("front ends found", "seed", now.Seed, "frontends", is)
	case len(joined)+len(left) > 0:
		d.log.Info("front ends have changed", "seed", now.Seed, "joined", joined, "left", left)
	}
}

// addresses are those of all front ends.
func (l Listing) addresses() []string {
	all := make([]string, len(l.Frontends))
	for i, f := range l.Frontends {
		all[i] = f.Address()
	}
	return all
}

// without is what of all is not in others.
func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}
