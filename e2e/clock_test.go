package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingDependsOnTheWallClock: a jump of the system's clock, as TestChaos makes them, changes no deadline and no duration as
// long as all times keep Go's monotonic reading. This holds that no time is turned into a number of seconds since 1970, or stripped
// of that reading, where sessions, probes and limits are kept. (What is written to a file or sent to another process, such as the
// deadline of a drain, has to be the time of day; see internal/clock.)
func TestNothingDependsOnTheWallClock(t *testing.T) {
	const (
		seed  = "../internal/command/demo.go" // makes a random number of it
		clock = "../internal/clock/clock.go"  // is about just that
	)
	files := token.NewFileSet()
	looked := 0
	for _, root := range []string{"../balancer", "../probe", "../metrics", "../internal"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || path == seed || path == clock {
				return err
			}
			looked++
			parsed, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && readsWallClock(call) {
					t.Errorf("%v reads the wall clock", files.Position(call.Pos()))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked < 100 {
		t.Errorf("only %d files were found", looked)
	}
}

// readsWallClock tells whether a call makes a number of the time of day, or drops the monotonic reading: t.UnixNano() and its
// like, and t.Round(0), t.Truncate(0).
func readsWallClock(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "UnixNano", "UnixMilli", "UnixMicro":
		return true
	case "Unix":
		return len(call.Args) == 0
	case "Round", "Truncate":
		zero, ok := call.Args[0].(*ast.BasicLit)
		return ok && zero.Value == "0"
	}
	return false
}
