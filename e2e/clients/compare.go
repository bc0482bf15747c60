package clients

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
)

// own is what differs from one connection to the next in what clients say about it.
var own = regexp.MustCompile(`\bconn=-?\d+`)

// normal is a text without the server's port and the connection's number.
func normal(text string, at Server) string {
	for _, address := range []string{at.Address, at.Other} {
		if _, port, err := net.SplitHostPort(address); err == nil {
			text = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllLiteralString(text, "PORT")
		}
	}
	return own.ReplaceAllLiteralString(text, "conn=N")
}

// String is how a step is told to people.
func (s Step) String() string {
	if s.Failed {
		return fmt.Sprintf("error %d (%s) %.300q", s.Code, s.State, s.Text)
	}
	return fmt.Sprintf("%.100q", s.Result)
}

// meets tells whether a step gave what it must.
func (w Want) meets(s Step) bool {
	if w.Code == 0 {
		return !s.Failed && s.Result == w.Result
	}
	return s.Failed && (w.Code == anyCode || s.Code == w.Code) && strings.Contains(s.Text, w.Text)
}

// Check says what is wrong with what a client's steps of a task gave straight at a server and elsewhere: steps that are
// missing, that did not give what they must, or that differ.
func (c Client) Check(t Task, straight []Step, at Server, through []Step, by Server) (wrong []string) {
	for _, w := range c.wants(t) {
		is := func(s Step) bool { return s.Task == t.Name && s.Step == w.Step }
		a, b := slices.IndexFunc(straight, is), slices.IndexFunc(through, is)
		if a < 0 || b < 0 {
			wrong = append(wrong, fmt.Sprintf("%s: missing straight at the server: %t, through fairlead: %t", w.Step, a < 0, b < 0))
			continue
		}
		x, y := straight[a], through[b]
		x.Text, y.Text = normal(x.Text, at), normal(y.Text, by)
		switch {
		case !w.meets(x) || !w.meets(y):
			wrong = append(wrong, fmt.Sprintf("%s: straight at the server %v, through fairlead %v, want %v", w.Step, x, y, w))
		case x.String() != y.String() || x.Text != y.Text || x.Result != y.Result:
			wrong = append(wrong, fmt.Sprintf("%s: straight at the server %v, but through fairlead %v", w.Step, x, y))
		}
	}
	return wrong
}

// String is how a want is told to people.
func (w Want) String() string {
	if w.Code != 0 {
		return fmt.Sprintf("error %d %q", w.Code, w.Text)
	}
	return fmt.Sprintf("%.100q", w.Result)
}

// maxLost is how many queries a client with four connections may lose when a server, or a fairlead, is killed.
const maxLost = 4

// Survived says how a client's task pool went. After the kill no more queries may be lost than it had connections, and the
// server that is left must have answered all others.
func Survived(steps []Step, err error) (cell string, wrong error) {
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Task == PoolTask && s.Step == "after" })
	switch {
	case err != nil:
		return "", err
	case i < 0:
		return "", fmt.Errorf("clients: it did not go on: %v", steps)
	case steps[i].Lost > maxLost || !slices.Equal(steps[i].Servers, []string{"2"}):
		return "", fmt.Errorf("clients: %d queries were lost, and servers %v answered", steps[i].Lost, steps[i].Servers)
	}
	return "ok", nil
}
