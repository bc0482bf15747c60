package control

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"fairlead/balancer"
	"fairlead/internal/history"
	"fairlead/probe"
)

// TestReadmeListsFields: README.md lists each field of a status, where people look for it.
func TestReadmeListsFields(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for row, of := range map[string]any{
		"the top": Status{}, "`listeners[]`": balancer.ListenerStatus{}, "`pools[]`": balancer.PoolStatus{},
		"`pools[].backends[]`": balancer.BackendStatus{}, "`rates`": history.Rates{}, "`discoveries[]`": probe.DiscoveryHealth{},
	} {
		_, rest, found := strings.Cut(string(text), "\n| "+row+" | ")
		line, _, _ := strings.Cut(rest, "\n")
		if !found {
			t.Errorf("there is no row for %s", row)
			continue
		}
		for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if name != "" && !strings.Contains(line, "`"+name+"`") {
				t.Errorf("the row for %s has no `%s`", row, name)
			}
		}
	}
}
