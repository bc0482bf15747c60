package splice

import (
	"testing"
	"time"

	"fairlead/balancer/idle"
	"fairlead/internal/mysqlwire"
)

// A command and its reply.
const (
	ping     = "\x01\x00\x00\x00\x0e"
	pingOK   = "\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"
	begin    = "\x06\x00\x00\x00\x03begin"
	beginsOK = "\x07\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00"
)

// between has a session follow its statements, and brings it to the end of one.
func between(t *testing.T, e Engine) *rig {
	t.Helper()
	r := connectThrough(t, e, follow)
	mustWrite(t, r.client, ping)
	mustRead(t, r.server, ping)
	mustWrite(t, r.server, pingOK)
	mustRead(t, r.client, pingOK)
	return r
}

func follow(j *Joint) { j.Idler = idle.New(mysqlwire.ClientProtocol41, true) }

// TestEndIdle: a session is ended between two statements, in order on both sides, and at no other moment.
func TestEndIdle(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		end := func(r *rig, quiet time.Duration, most int) int {
			return e.EndIdle([]Task{r.task}, quiet, most, DrainedIdle)
		}
		r := connectThrough(t, e, follow)
		busy := func(when string) {
			t.Helper()
			if n := end(r, 0, 1); n != 0 {
				t.Fatalf("%s a session is ended", when)
			}
		}
		mustWrite(t, r.client, ping)
		mustRead(t, r.server, ping)
		busy("while a reply is outstanding")
		mustWrite(t, r.server, pingOK[:5])
		mustRead(t, r.client, pingOK[:5])
		busy("amid a reply")
		mustWrite(t, r.server, pingOK[5:])
		mustRead(t, r.client, pingOK[5:])
		mustWrite(t, r.client, begin)
		mustRead(t, r.server, begin)
		mustWrite(t, r.server, beginsOK)
		mustRead(t, r.client, beginsOK)
		busy("within a transaction")

		r = between(t, e)
		if n := end(r, time.Hour, 1); n != 0 {
			t.Fatal("a session is ended before it was quiet for long enough")
		}
		if n := end(r, 0, 0); n != 0 {
			t.Fatal("more sessions are ended than asked for")
		}
		if n := end(r, 0, 1); n != 1 {
			t.Fatalf("%d sessions are ended between two statements", n)
		}
		wantEOF(t, r.client)
		wantEOF(t, r.server)
		wantEnd(t, r, DrainedIdle)
		if n := end(r, 0, 1); n != 0 {
			t.Fatal("a session is ended twice")
		}

		unknown := connectThrough(t, e, nil)
		if n := end(unknown, 0, 1); n != 0 {
			t.Fatal("a session is ended of which nothing is known")
		}
		closing := connectThrough(t, e, follow)
		if err := closing.client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantEOF(t, closing.server)
		if n := end(closing, 0, 1); n != 0 {
			t.Fatal("a session is ended that is about to end by itself")
		}
	})
}

// TestEndSomeIdle: the bound holds for all loops together.
func TestEndSomeIdle(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		const all, most = 8, 6
		var tasks []Task
		for range all {
			tasks = append(tasks, between(t, e).task)
		}
		if n := e.EndIdle(tasks, 0, most, DrainedIdle); n != most {
			t.Errorf("%d sessions are ended, want %d", n, most)
		}
		eventually(t, "them to be over", func() bool { return sessions(e) == all-most })
		if n := e.EndIdle(tasks, 0, most, DrainedIdle); n != all-most {
			t.Errorf("%d sessions are ended of the %d that were left", n, all-most)
		}
	})
}
