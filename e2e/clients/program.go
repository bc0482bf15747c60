package clients

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Step is what a step of a task gave.
type Step struct {
	Task, Step string
	Result     string
	Failed     bool   // it ended in an error
	Code       int    // of the error
	State      string // its SQLSTATE, "" where the client does not tell
	Text       string // its text
	Lost       int    // of the task pool: queries that failed after the pause
	Servers    []string
}

// line is a Step as programs print it.
type line struct {
	Task    string   `json:"task"`
	Step    string   `json:"step"`
	Result  *string  `json:"result"`
	Code    *int     `json:"code"`
	State   string   `json:"state"`
	Text    string   `json:"text"`
	Failed  int      `json:"failed"`
	Servers []string `json:"servers"`
}

// parseLine reads a line of JSON. A step must have a result, or an error, or be one of the task pool.
func parseLine(text []byte) (Step, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return Step{}, fmt.Errorf("%.200q is no step: %w", text, err)
	}
	s := Step{Task: l.Task, Step: l.Step, State: l.State, Text: l.Text, Lost: l.Failed, Servers: l.Servers}
	switch {
	case l.Task == "" || l.Step == "":
		return s, fmt.Errorf("%.200q names no task or no step", text)
	case l.Result != nil && l.Code == nil:
		s.Result = *l.Result
	case l.Code != nil && l.Result == nil:
		s.Failed, s.Code = true, *l.Code
	case l.Task != PoolTask:
		return s, fmt.Errorf("%.200q has neither a result nor an error", text)
	}
	return s, nil
}

// runProgram runs the client's program, and reads what it prints.
func runProgram(ctx context.Context, r *run) error {
	ctx, cancel := context.WithCancel(ctx) // ends the program if its output is bad
	defer cancel()
	command := append(append(slices.Clone(r.client.Command), r.host, r.port), r.tasks...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "MATRIX_CA="+r.inside("cacert.pem"), "MATRIX_FILE="+r.inside("load.txt"), "MATRIX_OTHER="+r.server.Other)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	var bad error
	for lines := bufio.NewScanner(stdout); bad == nil && lines.Scan(); {
		var s Step
		if s, bad = parseLine(lines.Bytes()); bad != nil {
			cancel()
			break
		}
		r.say(s)
		if s.Task == PoolTask && slices.Contains(r.client.Waits(), s.Step) {
			if bad = r.pause(s.Step); bad == nil {
				_, bad = stdin.Write([]byte("\n"))
			}
		}
	}
	_ = stdin.Close() // it may have ended
	if err := cmd.Wait(); err != nil {
		bad = errors.Join(bad, fmt.Errorf("%s: %w\n%s", r.client.Command, err, strings.TrimSpace(stderr.String())))
	}
	return bad
}

// Waits are the steps of the task pool at which the client waits until something was killed.
func (c Client) Waits() []string {
	if c.Pauses == nil {
		return []string{"ready"}
	}
	return c.Pauses
}
