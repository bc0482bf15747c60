package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead/balancer"
)

// Addresses on the network of these tests. Backend 1 is 10.77.0.11, and so on.
const (
	clientHost   = "10.77.0.1"
	balancerHost = "10.77.0.2"
	probeAddress = "10.77.0.66" // the balancer's too: its probes come from there
)

// cutNetwork is a network with clients, a balancer, two MariaDB servers and a front end, where clients come all the time.
type cutNetwork struct {
	*network
	p *process
	f *traffic
}

func startCutNetwork(t *testing.T) *cutNetwork {
	t.Helper()
	n := newNetwork(t)
	n.host("client", clientHost)
	n.host("balancer", balancerHost, probeAddress)
	var addresses []string
	var servers []*mariaDB
	for i := range 3 {
		host, address := backendName(i+1), fmt.Sprintf("10.77.0.%d", 11+i)
		n.host(host, address)
		if i == 2 {
			n.startFE(host, "3")
			addresses = append(addresses, address+":9030")
			break
		}
		m := newMariaDB(t, i+1)
		m.inside, m.host, m.port = n.inside(host), address, 3306
		servers, addresses = append(servers, m), append(addresses, m.address())
	}
	startAll(t, servers)
	c := &cutNetwork{network: n}
	// A connect on one wire that takes 300 ms is none: a lost packet would be sent again after 1 s.
	config := inFrontOf(quickPool+"connect_timeout = \"300ms\"\n", quickProbe+"source = \""+probeAddress+"\"\n", addresses...)
	c.p = n.startFairlead("balancer", strings.Replace(config, "127.0.0.1:0", balancerHost+":9030", 1))
	c.p.allUp()
	c.f = n.come("client", load{Address: balancerHost + ":9030", User: appUser, Password: appPassword, Question: whichMariaDB,
		Every: 8 * time.Millisecond, Stay: 80 * time.Millisecond, Held: 9, Idle: 6, Pause: 20 * time.Millisecond})
	c.f.running("1", "2", "3")
	return c
}

func backendName(number int) string { return fmt.Sprint("backend", number) }

// TestNetwork: a backend that no probe reaches keeps its sessions; of one that is cut off no login knows anything, and its
// sessions end soon.
func TestNetwork(t *testing.T) {
	c := startCutNetwork(t)
	deaf := c.deafen(2)
	cuts := []cutting{c.cutOff(1), c.cutOff(3)}
	c.f.stop()
	t.Logf("%d logins", len(c.f.visits(func(visit) bool { return true })))
	ended := c.p.endedSessions()
	deaf.check(t, c.f)
	for _, k := range cuts {
		k.check(t, c.f, ended)
	}
	if failed := c.f.failed(); len(failed) > 0 {
		t.Errorf("logins failed: %s\nthe session of the first: %v", listed(failed), ended.of(failed[0].Client, failed[0].Began))
	}
}

// deafness is a time in which a backend served its sessions and no probe.
type deafness struct {
	server   string
	from, to time.Time
}

// deafen has a backend not answer probes, for longer than dead sessions live.
func (c *cutNetwork) deafen(number int) deafness {
	c.t.Helper()
	d := deafness{server: strconv.Itoa(number)}
	host := c.name(backendName(number))
	c.ip("-n", host, "route", "add", "blackhole", probeAddress+"/32")
	c.p.becomes(d.server, balancer.Down)
	d.from = time.Now()
	const longer = 6 * time.Second // than the 4 s after which a dead peer is found out
	eventually(c.t, "sessions to be served by the backend that does not answer probes", func() bool {
		return len(c.f.holdings(func(h holding) bool {
			return h.Server == d.server && !h.Over && h.Began.Before(d.from) && h.Asked.After(d.from.Add(longer))
		})) > 0
	})
	d.to = time.Now()
	c.ip("-n", host, "route", "del", "blackhole", probeAddress+"/32")
	c.p.becomes(d.server, balancer.Up)
	c.f.served(d.server, time.Now())
	return d
}

// check finds sessions that were lost, on any server.
func (d deafness) check(t *testing.T, f *traffic) {
	t.Helper()
	served := f.holdings(func(h holding) bool { return h.Server == d.server && h.Began.Before(d.from) })
	lost := f.holdings(func(h holding) bool { return h.Error != "" && h.Ended.After(d.from) && h.Ended.Before(d.to) })
	t.Logf("%d sessions on a backend that answered no probe for %v, %d lost", len(served), d.to.Sub(d.from).Round(time.Millisecond), len(lost))
	if len(served) == 0 || len(lost) > 0 {
		t.Errorf("a backend that answered no probes lost sessions: %s", listed(lost))
	}
}

// cutting is a backend off the wire, from a moment between before and off until to. It was seen at down.
type cutting struct {
	server                string
	before, off, down, to time.Time
}

// cutOff takes a backend off the wire until its sessions have ended.
func (c *cutNetwork) cutOff(number int) cutting {
	c.t.Helper()
	k := cutting{server: strconv.Itoa(number), before: time.Now()}
	c.cut(backendName(number))
	k.off = time.Now()
	c.p.becomes(k.server, balancer.Down)
	k.down = time.Now()
	eventually(c.t, "the dead backend's sessions to end", func() bool {
		return len(c.f.holdings(func(h holding) bool { return h.Server == k.server && !h.Over })) == 0
	})
	c.f.more(100, k.down)
	k.to = time.Now()
	c.join(backendName(number))
	c.p.becomes(k.server, balancer.Up)
	c.f.served(k.server, time.Now())
	return k
}

// check holds what clients have seen against what is promised: no login that began after the cut is slower than 1 s, the
// backend's sessions end within 5 s, and no others.
func (k cutting) check(t *testing.T, f *traffic, ended sessionLog) {
	t.Helper()
	const slow, soon = time.Second, 5 * time.Second
	if late := f.visits(func(v visit) bool { return v.Began.After(k.off) && v.Began.Before(k.to) && v.Took > slow }); len(late) > 0 {
		t.Errorf("logins that began after backend %s was cut off were slow: %s\nthe session of the first: %v", k.server, listed(late),
			ended.of(late[0].Client, late[0].Began))
	}
	lost := f.holdings(func(h holding) bool { return h.Error != "" && h.Ended.After(k.before) && h.Ended.Before(k.to) })
	var latest time.Duration
	for _, h := range lost {
		took := h.Ended.Sub(k.before)
		latest = max(latest, took)
		if r := ended.of(h.Client, h.Began); r["backend"] != k.server || r["end"] != "backend_dead" || took > soon {
			t.Errorf("%v after backend %s was cut off a session was lost: %v\nits line in the log: %v", took, k.server, h, r)
		}
	}
	if len(lost) == 0 {
		t.Errorf("backend %s had no session to lose", k.server)
	}
	t.Logf("backend %s was seen down %v after the cut; %d sessions ended after %v at the latest", k.server,
		k.down.Sub(k.off).Round(time.Millisecond), len(lost), latest.Round(time.Millisecond))
}
