package clients

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// sysbenchWants are the steps that differ: statements are prepared by the load that comes with it, and none has a large
// parameter.
var sysbenchWants = map[string][]Want{
	"prepared": {
		{Step: "make the tables", Result: "sbtest1"},
		{Step: "100 transactions", Result: "1400 400 200"}, // reads, writes, others
		{Step: "drop the tables", Result: "sbtest1"},
		{Step: "missing table", Code: 1146, Text: "Table 'sales.sbtest1' doesn't exist"},
	},
	"large": {
		{Step: "query", Result: once}, {Step: "exact query", Result: "16777197"},
		{Step: "row", Result: once}, {Step: "exact row", Result: "16777211"}, {Step: "three packets", Result: twice},
	},
}

// sysbench is the program at one server.
type sysbench struct {
	*run
	ctx context.Context
}

// fatalLine is how it tells of an error.
var fatalLine = regexp.MustCompile(`error:? (\d+)(?:: | \(| ")(.*?)(?:\) for query.*|"?)\n`)

// command is sysbench with the usual login, which the arguments may change.
func (s sysbench) command(arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, "sysbench", append([]string{"--db-driver=mysql", "--mysql-host=" + s.host, "--mysql-port=" + s.port,
		"--mysql-user=" + App, "--mysql-password=" + AppPassword, "--mysql-db=sales", "--time=0"}, arguments...)...)
	cmd.Dir = s.dir
	return cmd
}

// output runs it to its end.
func (s sysbench) output(arguments ...string) (string, error) {
	output, err := s.command(arguments...).CombinedOutput()
	if m := fatalLine.FindStringSubmatch(string(output)); m != nil && err != nil {
		code, _ := strconv.Atoi(m[1])
		return "", &refusal{code, "", m[2]}
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return string(output), err
}

// step does a step of the script.
func (s sysbench) step(task, step, name string, arguments ...string) {
	output, err := s.output(append(arguments, "programs/sysbench.lua", "--events=1", "--step="+name, "--file="+s.inside("load.txt"), "run")...)
	_, output, _ = strings.Cut(output, "RESULT ")
	got, _, _ := strings.Cut(output, "\n")
	if err == nil && (strings.HasSuffix(step, "row") || step == "three packets") {
		got = digested(step, got)
	}
	s.did(task, step, got, err)
}

// driveSysbench does tasks by sysbench.
func driveSysbench(ctx context.Context, r *run) error {
	s := sysbench{r, ctx}
	for _, task := range r.tasks {
		switch task {
		case "login":
			for _, w := range ways {
				s.step(task, w.step, "who", "--mysql-user="+w.user, "--mysql-password="+w.password, "--mysql-db="+w.database)
			}
		case "tls":
			s.step(task, "cipher", "cipher", "--mysql-ssl=on")
			s.step(task, "wrong password", "who", "--mysql-ssl=on", "--mysql-password=wrong")
			s.step(task, "row", "tls row", "--mysql-ssl=on")
		case "prepared":
			s.prepared()
		case "large":
			for _, step := range []string{"query", "exact query", "row", "exact row", "three packets"} {
				s.step(task, step, step)
			}
		case "infile":
			s.step(task, "load", "load")
			output, err := s.output("programs/sysbench.lua", "--events=1", "--step=load", "--file="+s.inside("load.txt.none"), "run")
			s.did(task, "missing file", output, err)
		case "compression":
			s.step(task, "in force", "compressed", "--mysql-compression=on")
			s.step(task, "query", "query", "--mysql-compression=on")
			s.step(task, "row", "row", "--mysql-compression=on")
		case "version":
			output, err := exec.CommandContext(ctx, "sysbench", "--version").Output()
			if err != nil {
				return err
			}
			s.did(task, task, regexp.MustCompile(`[0-9.]+`).FindString(string(output)), nil)
		}
	}
	return nil
}

// prepared is the load that comes with sysbench, whose statements are prepared ones.
func (s sysbench) prepared() {
	load := []string{"oltp_read_write", "--tables=1", "--table-size=100", "--events=100", "--rand-seed=1", "--db-ps-mode=auto"}
	table := regexp.MustCompile(`sbtest1`)
	counts := regexp.MustCompile(`read: +(\d+)\s+write: +(\d+)\s+other: +(\d+)`)
	for _, c := range []struct{ step, command string }{{"make the tables", "prepare"}, {"100 transactions", "run"}, {"drop the tables", "cleanup"}, {"missing table", "run"}} {
		output, err := s.output(append(load, c.command)...)
		got := table.FindString(output)
		if m := counts.FindStringSubmatch(output); m != nil {
			got = strings.Join(m[1:], " ")
		}
		s.did("prepared", c.step, got, err)
	}
}
