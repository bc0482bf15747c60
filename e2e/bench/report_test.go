//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// exampleReport has fairlead better than its rivals in load a, worse in load c, and a peer that failed.
func exampleReport() report {
	peerOf := func(name, title string, rival bool, rounds ...measurement) peerResult {
		return peerResult{Name: name, Title: title, Rival: rival, Rounds: rounds, Median: medians(rounds)}
	}
	exchange := func(rate, cpu float64) measurement {
		return measurement{operations: rate, latency50: 100, latency99: 12_000, cpuPerOperation: cpu}
	}
	bulk := func(cpu float64) measurement { return measurement{operations: 10, cpuPerGB: cpu} }
	broken := peerOf(nginxName, "nginx <stream>", true, nil, nil)
	broken.Errors = []string{"refused"}
	r := report{
		Date:     time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine:  machine{CPU: "A & B", Processors: 2, Kernel: "6.1", Layout: layout{layoutShared, []int{0, 1}, []int{0}, []int{1}}},
		Settings: settings{Rounds: 2, Duration: time.Second},
		Versions: []version{{ownName, "1.0"}, {haproxyAuto, "HAProxy version 2.6.12-1 2026"}},
		Cases: []caseResult{
			{Load: "a", Key: "a-64", Title: "64 connections", Peers: []peerResult{
				peerOf(ownName, "fairlead", false, exchange(1000, 9), exchange(1200, 9.2)),
				peerOf(haproxyAuto, "HAProxy", true, exchange(900, 10), exchange(1100, 10)),
				peerOf(copyName, "copy", false, exchange(9000, 1), exchange(9000, 1)),
			}},
			{Load: "c", Key: "c-1m", Title: "1 MB answers", Peers: []peerResult{
				peerOf(ownName, "fairlead", false, bulk(0.5), bulk(0.5)),
				peerOf(haproxyAuto, "HAProxy", true, bulk(0.8), bulk(0.8)),
				peerOf(haproxyForced, "HAProxy forced", true, bulk(0.6), bulk(0.6)),
				broken,
			}},
			{Load: "d", Key: "d", Title: "idle sessions", Peers: []peerResult{
				peerOf(ownName, "fairlead", false, measurement{memorySettled: 700, descriptorsPerSession: 2.0004},
					measurement{memorySettled: 700, descriptorsPerSession: 2.0004}),
			}},
		},
	}
	r.Goals = judgeAll(r.Cases)
	return r
}

func TestJudgeAll(t *testing.T) {
	var got []verdict
	for _, v := range exampleReport().Goals {
		got = append(got, verdict{Case: v.Case, Figure: v.Figure, Against: v.Against, Bound: v.Bound, Met: v.Met})
	}
	want := []verdict{
		{Case: "a-64", Figure: cpuPerOperation, Against: haproxyAuto, Bound: 1, Met: true}, // copy is no rival
		{Case: "c-1m", Figure: cpuPerGB, Against: haproxyAuto, Bound: 0.6},
		{Case: "c-1m", Figure: cpuPerGB, Against: haproxyForced, Bound: 0.9, Met: true},
		{Case: "d", Figure: memorySettled, Bound: 1000, Met: true},
		{Case: "d", Figure: descriptorsPerSession, Bound: 2, Met: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestJudgeWhereMoreIsBetter(t *testing.T) {
	c := exampleReport().Cases[0]
	for bound, met := range map[float64]bool{1: true, 1.2: false} {
		v, ok := goal{figure: operations, bound: bound}.judge(c)
		if !ok || v.Met != met || v.Against != haproxyAuto {
			t.Errorf("bound %v: %+v, %v", bound, v, ok)
		}
		if v.Low < 1.09 || v.Low > 1.1 || v.High < 1.11 || v.High > 1.12 {
			t.Errorf("rounds from %v to %v", v.Low, v.High)
		}
	}
}

func TestRatiosPassOverMissingRounds(t *testing.T) {
	own := []measurement{{operations: 1}, nil, {operations: 3}}
	theirs := []measurement{nil, {operations: 1}, {operations: 2}}
	if got := ratios(own, theirs, operations); !slices.Equal(got, []float64{1.5}) {
		t.Errorf("%v", got)
	}
	if got := ratios(own[:2], theirs[:2], operations); len(got) != 0 {
		t.Errorf("without a common round: %v", got)
	}
}

// The verdict is the median of the rounds' own ratios, to the rival with whom that is worst.
func TestJudgePairsRounds(t *testing.T) {
	of := func(values ...float64) (rounds []measurement) {
		for _, v := range values {
			rounds = append(rounds, measurement{cpuPerOperation: v})
		}
		return rounds
	}
	peer := func(name string, rounds []measurement) peerResult {
		return peerResult{Name: name, Rival: name != ownName, Rounds: rounds, Median: medians(rounds)}
	}
	c := caseResult{Key: "b", Peers: []peerResult{
		peer(ownName, of(10, 50, 30)), peer(haproxyAuto, of(10, 40, 40)), peer(nginxName, of(20, 25, 20)),
	}}
	v, ok := goal{figure: cpuPerOperation, bound: 1}.judge(c)
	if !ok || v.Against != nginxName || v.Value != 1.5 || v.Low != 0.5 || v.High != 2 || v.Met {
		t.Errorf("%+v, %v", v, ok)
	}
	if v, _ := (goal{figure: cpuPerOperation, bound: 1, rivals: []string{haproxyAuto}}).judge(c); v.Value != 1 || !v.Met {
		t.Errorf("%+v", v)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.writeTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"64 connections  fairlead", "1,100", "12.0 ms", "9.10 µs", "fairlead / the best", "0.91",
		"fairlead / haproxy-splice", "≤ 0.9", "not met", "failed: 1 MB answers, nginx: refused",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if err := r.failed(); err != nil && !errors.Is(err, errRunsFailed) || err == nil {
		t.Errorf("a failed run gives %v", err)
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0.0", 99.94: "99.9", 123: "123", 1234: "1,234", 1234567.4: "1,234,567", -4096: "-4,096"} {
		if got := thousands(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.writeJSON(&b); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Errorf("got  %+v\nwant %+v", back, r)
	}
}

// TestChart reads the drawing as XML and finds a bar for each peer that has the figure.
func TestChart(t *testing.T) {
	var b bytes.Buffer
	if err := exampleReport().writeChart(&b); err != nil {
		t.Fatal(err)
	}
	bars, text := map[string]int{}, ""
	decoder := xml.NewDecoder(&b)
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch element := token.(type) {
		case xml.StartElement:
			if element.Name.Local == "rect" {
				bars[element.Attr[0].Value]++
			}
		case xml.CharData:
			text += string(element) + "\n"
		}
	}
	if bars["own"] != 3 || bars["peer"] != 4 {
		t.Errorf("bars: %v, want 3 of fairlead and 4 of peers", bars)
	}
	for _, want := range []string{"prefers-color-scheme: dark", "9.10 µs", "10.00 µs (1.10×)", "A & B, 2 processors", "HAProxy 2.6.12"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestChartOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := (report{}).writeChart(&b); err != nil || xml.Unmarshal(b.Bytes(), new(struct{})) != nil {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestCPUModel(t *testing.T) {
	if got := cpuModel([]byte("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n")); got != "AMD EPYC" {
		t.Errorf("%q", got)
	}
	if got := cpuModel(nil); got != "unknown processor" {
		t.Errorf("%q", got)
	}
}
