package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fairlead/balancer"
	"fairlead/probe"
)

// check compares what was read: each part may be right by itself, and the whole wrong.
func (d *document) check(f *File) {
	d.validate(f)
	d.roles(f)
	d.unused(f)
	d.adminOverlaps(f)
	d.suspicions(f)
	if d.host.stat != nil {
		d.files(f)
	}
}

// validate gives the faults that the balancer finds a line, and leaves out what was told about already.
func (d *document) validate(f *File) {
	var faults balancer.ConfigError
	if !errors.As(f.Balancer.Validate(), &faults) {
		return
	}
	for _, e := range faults {
		if d.isBlamed(e.Path) || d.blamed["pool"] && strings.HasSuffix(e.Path, ".pool") {
			continue // told before, or the pool is there but could not be read
		}
		message := e.Message
		if e.Other != "" && d.line(e.Other) != d.line(e.Path) {
			message += fmt.Sprintf(" (line %d)", d.line(e.Other))
		}
		d.problem(e.Path, message, e.Suggestion)
	}
}

// unused finds what nothing refers to, and a file that would serve nothing.
func (d *document) unused(f *File) {
	if len(f.Balancer.Listeners) == 0 && !d.isBlamed("listener") {
		d.problem("listener", "nothing listens: the file has no [[listener]]", `add one with name = "mysql", bind = "127.0.0.1:9030" and pool = "…"`)
		return
	}
	used := map[string]bool{}
	for i, l := range f.Balancer.Listeners {
		if l.Pool == "" || d.isBlamed(fmt.Sprintf("listener[%d].pool", i)) {
			return // it may have meant any pool
		}
		used[l.Pool] = true
		if path := fmt.Sprintf("listener[%d]", i); !d.routesUse(used, path, l) || !d.sniffUses(used, path, l.Sniff) {
			return
		}
	}
	for i, p := range f.Balancer.Pools {
		if path := fmt.Sprintf("pool[%d]", i); p.Name != "" && !used[p.Name] && !d.blamed[path+".name"] {
			d.problem(path, fmt.Sprintf("no listener uses pool %q", p.Name), fmt.Sprintf("add a [[listener]] with pool = %q, or remove the pool", p.Name))
		}
	}
}

// adminOverlaps finds addresses of the status page that listeners, or itself, have taken.
func (d *document) adminOverlaps(f *File) {
	for i, a := range f.listen {
		if a.Owner != "admin" {
			return
		}
		for _, other := range f.listen[i+1:] {
			if balancer.Overlap(a.Address, other.Address) {
				d.at(a.Line, fmt.Sprintf("%v overlaps %v of %s (line %d)", a.Address, other.Address, other.Owner, other.Line), "an address can be listened on once")
				break
			}
		}
	}
}

// suspicions warns of what is allowed but probably not meant.
func (d *document) suspicions(f *File) {
	for i, p := range f.Balancer.Pools {
		path := fmt.Sprintf("pool[%d]", i)
		if p.Protocol == balancer.MySQL && p.SetupTimeout < p.ConnectTimeout+p.GreetingTimeout {
			d.warn(path+".setup_timeout", fmt.Sprintf("setup_timeout, %s, is shorter than connect_timeout and greeting_timeout together, %s",
				plain(p.SetupTimeout), plain(p.ConnectTimeout+p.GreetingTimeout)), "a silent backend leaves no time to try another one")
		}
		weight, capped := 0, p.MaxSessions > 0
		for _, b := range p.Backends {
			weight += b.Weight
			capped = capped || b.MaxSessions > 0
		}
		if len(p.Backends) > 0 && weight == 0 {
			d.warn(path, fmt.Sprintf("every backend of pool %q has weight 0, so none takes sessions", p.Name), "")
		}
		if byDefault := Default().Pool; !capped && (p.Queue != byDefault.Queue || p.QueueTimeout != byDefault.QueueTimeout) {
			d.warn(path+".queue", "nobody ever waits in the queue of a pool without max_sessions", "add max_sessions, or remove queue and queue_timeout")
		}
	}
}

// files checks the files that the configuration names.
func (d *document) files(f *File) {
	d.readinessFile(f.Admin.ReadinessFile)
	d.stateFile(f.Admin.StateFile)
	d.logFile(f.Log.File)
	d.socketOwner(f.Admin)
	for i, p := range f.Balancer.Pools {
		health, seeds := f.Probes[p.Name], f.Discoveries[p.Name].Seeds
		if seeds.TLS == health.TLS {
			seeds.TLS = "" // told of in one place
		}
		if health.HTTP == "" && slices.ContainsFunc(p.Backends, func(b balancer.BackendConfig) bool { return b.HTTP != "" }) {
			health.HTTP = "http://{host}/" // in place of theirs, so that the keys that go with it are no fault
		}
		d.filesOf(fmt.Sprintf("pool[%d].probe", i), health)
		d.filesOf(fmt.Sprintf("pool[%d].discovery", i), seeds)
	}
}

// filesOf checks the files of one table.
func (d *document) filesOf(path string, c probe.Config) {
	d.probeFiles(path, c)
	for key, name := range map[string]string{"password_file": c.PasswordFile, "http_password_file": c.HTTPPasswordFile} {
		if name != "" && !d.isBlamed(path+"."+key) {
			d.secret(path+"."+key, key, name)
		}
	}
}

// probeFiles asks the probe itself, which reads its files. What it finds beyond that was found here before.
func (d *document) probeFiles(path string, c probe.Config) {
	all, ok := c.Validate().(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, err := range all.Unwrap() {
		var wrong *probe.KeyError
		if errors.As(err, &wrong) && !d.isBlamed(path+"."+wrong.Key) {
			d.problem(path+"."+wrong.Key, err.Error(), "")
		}
	}
}

// secret warns of a password that others can read, or that is not there.
func (d *document) secret(path, key, name string) {
	info, err := d.host.stat(name)
	if err != nil {
		return // reported by the probe
	}
	if mode := info.Mode().Perm(); mode&0o004 != 0 {
		d.warn(path, fmt.Sprintf("%s: everyone on this machine can read %s (mode %04o)", key, name, mode), "chmod 600 "+name)
	}
	if info.Size() == 0 {
		d.warn(path, fmt.Sprintf("%s: %s is empty", key, name), "")
	}
}
